package peers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/pkg/messaging"

	amqp "github.com/rabbitmq/amqp091-go"
)

// WarrenOverQueues measures publishing from goroutines that go round so many
// queues of RabbitMQ, one message a call.
func (r *RabbitMQ) WarrenOverQueues(goroutines, queues int, body []byte) measure.Work {
	return func(ctx context.Context, n int) (cost measure.Cost, err error) {
		names, err := r.declareAll(queues)
		if err != nil {
			return cost, err
		}
		broker, err := messaging.Open(ctx, r.URL+warrenClassic)
		if err == nil {
			cost, err = r.overQueues(ctx, broker, goroutines, names, n, body)
			err = errors.Join(err, broker.Close(context.Background()))
		}
		found, deleteErr := r.deleteAll(names)
		if err := errors.Join(err, deleteErr); err != nil {
			return cost, err
		}
		if found != n+1 {
			return cost, fmt.Errorf("the queues have %d messages in the end, and it must be %d", found, n+1)
		}
		return cost, nil
	}
}

func (r *RabbitMQ) overQueues(ctx context.Context, p messaging.Publisher, goroutines int, names []string, n int, body []byte) (measure.Cost, error) {
	if err := p.Publish(ctx, messaging.Queue(names[0]), &messaging.Message{Body: body}); err != nil {
		return measure.Cost{}, err
	}
	start := r.meter.Read()
	err := share(goroutines, n, func(g, n int) error {
		for i := range n {
			to := messaging.Queue(names[(g*len(names)/goroutines+i)%len(names)])
			if err := p.Publish(ctx, to, &messaging.Message{Body: body}); err != nil {
				return err
			}
		}
		return nil
	})
	return r.meter.Read().Since(start), err
}

// declareAll does not wait for each: the last is declared after all others.
func (r *RabbitMQ) declareAll(queues int) ([]string, error) {
	prefix := "bench-" + strings.ToLower(rand.Text()[:12])
	names := make([]string, queues)
	for i := range names {
		names[i] = fmt.Sprint(prefix, "-", i)
		last := i == queues-1
		if _, err := r.ch.QueueDeclare(names[i], true, false, false, !last, amqp.Table{"x-queue-type": r.QueueType}); err != nil {
			return nil, fmt.Errorf("declare queues: %w", err)
		}
	}
	return names, nil
}

func (r *RabbitMQ) deleteAll(names []string) (found int, err error) {
	for _, name := range names {
		n, err := r.ch.QueueDelete(name, false, false, false)
		if err != nil {
			return found, fmt.Errorf("delete queues: %w", err)
		}
		found += n
	}
	return found, nil
}
