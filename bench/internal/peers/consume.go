package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// Consume calls handle with the body of every message of the queue, until ctx ends. What
// was handled is acknowledged when it returns.
type Consume func(ctx context.Context, url, queue string, handle func(body []byte)) error

// Consuming measures a consumer: n messages that wait in a queue, from the
// first that is handled to the last. In the end no more than left messages may
// be in the queue.
func (r *RabbitMQ) Consuming(body []byte, left int, consume Consume) measure.Work {
	return func(ctx context.Context, n int) (cost measure.Cost, err error) {
		err = r.withQueue(func(found int) bool { return found <= left }, func(queue string) error {
			if err := r.fill(ctx, queue, n, body); err != nil {
				return err
			}
			cost, err = r.consume(ctx, queue, n, consume)
			return err
		})
		return cost, err
	}
}

func (r *RabbitMQ) consume(ctx context.Context, queue string, n int, consume Consume) (measure.Cost, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	span := newSpan(r.meter, n)
	returned := make(chan error, 1)
	go func() { returned <- consume(ctx, r.URL, queue, func([]byte) { span.message() }) }()
	select {
	case <-span.done:
		cancel()
		err := <-returned
		return span.cost(), errors.Join(err, span.check())
	case err := <-returned:
		return measure.Cost{}, fmt.Errorf("consuming ended after %d of %d messages: %w", span.count.Load(), n, err)
	case <-time.After(stuck):
		cancel()
		return measure.Cost{}, fmt.Errorf("only %d of %d messages arrived in %v: %w", span.count.Load(), n, stuck, <-returned)
	}
}

// stuck is how long a round may take at most.
const stuck = 2 * time.Minute
