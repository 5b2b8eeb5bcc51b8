package peers

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// copyingQueue is the mutexQueue with the copies that warren's rules ask for,
// and nothing else of a broker: a publisher may use its message again at once,
// and a handler may keep and change what it gets.
type copyingQueue struct {
	mu      sync.Mutex
	some    sync.Cond
	queue   []messaging.Message
	spares  [][]byte // bodies of messages that were handled
	closed  bool
	body    []byte
	waiting sync.WaitGroup
}

// CopyingQueue is the limit of a broker that keeps warren's rules.
func CopyingQueue(_ context.Context, load Load, handle func()) (Exchange, error) {
	x := &copyingQueue{body: load.Body}
	x.some.L = &x.mu
	for range load.Consumers {
		x.waiting.Go(func() { x.consume(func(*messaging.Delivery) { handle() }) })
	}
	return x, nil
}

func (x *copyingQueue) Publish(_ context.Context, _, n int) error {
	for range n {
		m := messaging.Message{ID: messaging.NewID(), Time: time.Now(), Body: append(x.spare(), x.body...)}
		x.mu.Lock()
		x.queue = append(x.queue, m)
		x.mu.Unlock()
		x.some.Signal()
	}
	return nil
}

func (x *copyingQueue) spare() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	last := len(x.spares) - 1
	if last < 0 {
		return nil
	}
	body := x.spares[last]
	x.spares = x.spares[:last]
	return body[:0]
}

// consume takes a few messages at a time: what a prefetch is.
func (x *copyingQueue) consume(handle func(*messaging.Delivery)) {
	var taken []messaging.Message
	for {
		x.mu.Lock()
		for len(taken) > 0 {
			last := len(taken) - 1
			x.spares = append(x.spares, taken[last].Body)
			taken = taken[:last]
		}
		for len(x.queue) == 0 && !x.closed {
			x.some.Wait()
		}
		if len(x.queue) == 0 {
			x.mu.Unlock()
			return
		}
		taken, x.queue = x.queue, taken
		x.mu.Unlock()
		for i := range taken {
			d := &messaging.Delivery{Message: taken[i], Attempt: 1}
			d.Body = slices.Clone(d.Body)
			handle(d)
		}
	}
}

func (x *copyingQueue) Close() error {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.some.Broadcast()
	x.waiting.Wait()
	return nil
}
