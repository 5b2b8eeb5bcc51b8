package rabbitmq

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Close implements [messaging.Broker]. A connection gets at most two seconds
// of what ctx allows to close in order. The error says how many subscriptions
// had handlers that did not finish, or did not hear from the broker that what
// they settled is settled.
func (b *Broker) Close(ctx context.Context) error {
	b.closeOnce.Do(func() {
		b.mu.Lock()
		b.closing, b.closingAt = true, time.Now()
		b.mu.Unlock()
		b.health.Notify()
		b.stopIntake()
		go b.shutDown()
	})
	select {
	case <-b.closed:
		return b.closeErr
	case <-ctx.Done():
	}
	b.mu.Lock()
	b.cutBy = cmp.Or(b.cutBy, ctx.Err())
	b.mu.Unlock()
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
	b.closeErr = b.whatWasCut()
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

// whatWasCut is the error of Close, nil where everything ended in order.
func (b *Broker) whatWasCut() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.unfinished > 0:
		return fmt.Errorf("close RabbitMQ: %d subscriptions had to be cut off: %w", b.unfinished, cmp.Or(b.cutBy, context.DeadlineExceeded))
	case b.cutBy != nil:
		return fmt.Errorf("close RabbitMQ: calls were still waiting for the broker, and had to be cut off: %w", b.cutBy)
	}
	return nil
}

// abandoned counts a subscription that did not end in order.
func (b *Broker) abandoned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unfinished++
}
