package peers

import (
	"context"
	"sync"
)

// mutexQueue is the queue that one writes in ten minutes: a slice, a mutex,
// and a condition to wait on.
type mutexQueue struct {
	mu      sync.Mutex
	some    sync.Cond
	bodies  [][]byte
	closed  bool
	body    []byte
	waiting sync.WaitGroup
}

// MutexQueue is a slice behind a mutex, whose consumers take all that is there.
func MutexQueue(_ context.Context, load Load, handle func()) (Exchange, error) {
	x := &mutexQueue{body: load.Body}
	x.some.L = &x.mu
	for range load.Consumers {
		x.waiting.Go(func() { x.consume(handle) })
	}
	return x, nil
}

func (x *mutexQueue) Publish(_ context.Context, _, n int) error {
	for range n {
		x.mu.Lock()
		x.bodies = append(x.bodies, x.body)
		x.mu.Unlock()
		x.some.Signal()
	}
	return nil
}

func (x *mutexQueue) consume(handle func()) {
	var taken [][]byte
	for {
		x.mu.Lock()
		for len(x.bodies) == 0 && !x.closed {
			x.some.Wait()
		}
		if len(x.bodies) == 0 {
			x.mu.Unlock()
			return
		}
		taken, x.bodies = x.bodies, taken[:0]
		x.mu.Unlock()
		for range taken {
			handle()
		}
	}
}

func (x *mutexQueue) Close() error {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.some.Broadcast()
	x.waiting.Wait()
	return nil
}
