package rabbitmq

import (
	"context"
	"fmt"
)

// Close implements [messaging.Broker]. A connection gets at most two seconds
// of what ctx allows to close in order.
func (b *Broker) Close(ctx context.Context) error {
	b.closeOnce.Do(func() {
		b.mu.Lock()
		b.closing = true
		b.mu.Unlock()
		b.stopIntake()
		go b.shutDown()
	})
	select {
	case <-b.closed:
		return b.closeErr
	case <-ctx.Done():
	}
	b.end()
	<-b.closed
	return b.closeErr
}

// shutDown ends everything in the order in which it depends on each other:
// calls, then connections, then what waits for an answer from these. Close
// waits for it.
func (b *Broker) shutDown() {
	defer close(b.closed)
	b.drains.Wait()
	b.mu.Lock()
	b.refusing = true
	b.mu.Unlock()
	b.calls.Wait()
	if b.life.Err() != nil {
		b.closeErr = fmt.Errorf("close RabbitMQ: not everything had finished in time, and was cut: %w", context.DeadlineExceeded)
	}
	links := []*link{b.publishes}
	if b.consumes != nil { // no call is left that could change it
		links = append(links, b.consumes)
	}
	for _, l := range links {
		l.stop()
	}
	for _, l := range links {
		<-l.done
	}
	b.end()
	b.tasks.Wait()
	b.publisher.close()
}
