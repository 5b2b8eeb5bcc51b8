package peers

import (
	"context"
	"errors"
	"time"
)

// Publisher sends messages to one queue of RabbitMQ.
type Publisher interface {
	// Publish sends n messages as its row has it, and returns when the last of
	// them is confirmed, or sent where the peer knows no more.
	Publish(ctx context.Context, n int) error
	Close() error
}

// OpenPublisher connects a publisher of messages with this body.
type OpenPublisher func(ctx context.Context, url, queue string, body []byte) (Publisher, error)

// Publishing measures a publisher: n messages into a fresh queue, after as many
// as warm are sent so that all connections and channels are there. In the end
// all of them must be in the queue.
func (r *RabbitMQ) Publishing(warm int, body []byte, open OpenPublisher) func(ctx context.Context, n int) (time.Duration, error) {
	return func(ctx context.Context, n int) (took time.Duration, err error) {
		err = r.withQueue(func() int { return n + warm }, func(queue string) error {
			p, err := open(ctx, r.URL, queue, body)
			if err != nil {
				return err
			}
			took, err = timed(ctx, p, warm, n)
			return errors.Join(err, p.Close())
		})
		return took, err
	}
}

func timed(ctx context.Context, p Publisher, warm, n int) (time.Duration, error) {
	if err := p.Publish(ctx, warm); err != nil {
		return 0, err
	}
	start := time.Now()
	err := p.Publish(ctx, n)
	return time.Since(start), err
}
