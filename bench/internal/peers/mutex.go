package peers

import (
	"context"
	"sync"
)

// mutexQueue is the queue that one writes in ten minutes: a slice, a mutex,
// and a condition to wait on. Consumers take all that is there.
type mutexQueue[T any] struct {
	// handled gets what a consumer took, when it comes back for more. It has the
	// mutex. nil does nothing.
	handled func([]T)

	mu      sync.Mutex
	some    sync.Cond
	items   []T
	closed  bool
	waiting sync.WaitGroup
}

// start lets so many consumers call handle.
func (q *mutexQueue[T]) start(consumers int, handle func(*T)) {
	q.some.L = &q.mu
	for range consumers {
		q.waiting.Go(func() {
			var taken []T
			for {
				if taken = q.take(taken); len(taken) == 0 {
					return
				}
				for i := range taken {
					handle(&taken[i])
				}
			}
		})
	}
}

// take gives taken back for what waits. Nothing is the end.
func (q *mutexQueue[T]) take(taken []T) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.handled != nil {
		q.handled(taken)
	}
	for len(q.items) == 0 && !q.closed {
		q.some.Wait()
	}
	taken, q.items = q.items, taken[:0]
	return taken
}

func (q *mutexQueue[T]) add(item T) {
	q.mu.Lock()
	q.items = append(q.items, item)
	q.mu.Unlock()
	q.some.Signal()
}

// Close waits until all is handled.
func (q *mutexQueue[T]) Close() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.some.Broadcast()
	q.waiting.Wait()
	return nil
}

// bodies is an Exchange around a mutexQueue.
type bodies struct {
	mutexQueue[[]byte]
	body []byte
}

// MutexQueue is a slice behind a mutex.
func MutexQueue(_ context.Context, load Load, handle func()) (Exchange, error) {
	x := &bodies{body: load.Body}
	x.start(load.Consumers, func(*[]byte) { handle() })
	return x, nil
}

func (x *bodies) Publish(_ context.Context, _, n int) error {
	for range n {
		x.add(x.body)
	}
	return nil
}
