package peers

import (
	"context"
	"errors"

	"github.com/warrenmq/warren/bench/internal/measure"
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
func (r *RabbitMQ) Publishing(warm int, body []byte, open OpenPublisher) measure.Work {
	return func(ctx context.Context, n int) (cost measure.Cost, err error) {
		err = r.withQueue(func(found int) bool { return found == n+warm }, func(queue string) error {
			p, err := open(ctx, r.URL, queue, body)
			if err != nil {
				return err
			}
			cost, err = r.timed(ctx, p, warm, n)
			return errors.Join(err, p.Close())
		})
		return cost, err
	}
}

func (r *RabbitMQ) timed(ctx context.Context, p Publisher, warm, n int) (measure.Cost, error) {
	if err := p.Publish(ctx, warm); err != nil {
		return measure.Cost{}, err
	}
	start := r.meter.Read()
	err := p.Publish(ctx, n)
	return r.meter.Read().Since(start), err
}
