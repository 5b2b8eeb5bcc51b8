package peers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Consume calls handle for every message of the queue, until ctx ends. What
// was handled is acknowledged when it returns.
type Consume func(ctx context.Context, url, queue string, handle func()) error

// Consuming measures a consumer: n messages that wait in a queue, from the
// first that is handled to the last. In the end the queue must be empty.
func (r *RabbitMQ) Consuming(body []byte, consume Consume) func(ctx context.Context, n int) (time.Duration, error) {
	return func(ctx context.Context, n int) (took time.Duration, err error) {
		err = r.withQueue(func() int { return 0 }, func(queue string) error {
			if err := r.fill(ctx, queue, n, body); err != nil {
				return err
			}
			took, err = r.consume(ctx, queue, n, consume)
			return err
		})
		return took, err
	}
}

func (r *RabbitMQ) consume(ctx context.Context, queue string, n int, consume Consume) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	span := newSpan(n)
	returned := make(chan error, 1)
	go func() { returned <- consume(ctx, r.URL, queue, span.message) }()
	select {
	case <-span.done:
		cancel()
		err := <-returned
		return span.took(), err
	case err := <-returned:
		return 0, fmt.Errorf("consuming ended after %d of %d messages: %w", span.count.Load(), n, err)
	case <-time.After(stuck):
		cancel()
		return 0, fmt.Errorf("only %d of %d messages arrived in %v: %w", span.count.Load(), n, stuck, <-returned)
	}
}

// stuck is how long a round may take at most.
const stuck = 2 * time.Minute

// span is the time from the first to the last of n messages.
type span struct {
	n           int64
	count       atomic.Int64
	first, last time.Time
	done        chan struct{} // closed at the last
}

func newSpan(n int) *span { return &span{n: int64(n), done: make(chan struct{})} }

// message counts one.
func (s *span) message() {
	switch s.count.Add(1) {
	case 1:
		s.first = time.Now()
		if s.n > 1 {
			return
		}
		fallthrough
	case s.n:
		s.last = time.Now()
		close(s.done)
	}
}

// took is for after done.
func (s *span) took() time.Duration { return s.last.Sub(s.first) }
