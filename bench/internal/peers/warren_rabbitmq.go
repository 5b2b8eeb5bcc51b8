package peers

import (
	"context"
	"errors"
	"sync"

	"github.com/warrenmq/warren/pkg/messaging"

	_ "github.com/warrenmq/warren/adapters/rabbitmq" // amqp:// for messaging.Open
)

// warrenClassic is what a URL of warren's has in the rows of RabbitMQ, whose
// queues are classic ones.
const warrenClassic = "?queue_type=classic"

// warrenPublisher publishes from goroutines, each so many messages a call.
type warrenPublisher struct {
	broker     messaging.Broker
	to         messaging.Address
	body       []byte
	goroutines int
	perCall    int
}

// WarrenPublisher publishes through a messaging.Broker. Each message is a new
// value, as in a service.
func WarrenPublisher(goroutines, perCall int) OpenPublisher {
	return func(ctx context.Context, url, queue string, body []byte) (Publisher, error) {
		broker, err := messaging.Open(ctx, url+warrenClassic)
		if err != nil {
			return nil, err
		}
		return &warrenPublisher{broker, messaging.Queue(queue), body, goroutines, perCall}, nil
	}
}

func (w *warrenPublisher) Publish(ctx context.Context, n int) error {
	return share(w.goroutines, n, func(_, n int) error {
		return warrenPublish(ctx, w.broker, w.to, w.body, n, w.perCall)
	})
}

func (w *warrenPublisher) Close() error { return w.broker.Close(context.Background()) }

// warrenPublish publishes n messages, so many a call.
func warrenPublish(ctx context.Context, p messaging.Publisher, to messaging.Address, body []byte, n, perCall int) error {
	msgs := make([]*messaging.Message, perCall)
	for n > 0 {
		msgs = msgs[:min(n, perCall)]
		for i := range msgs {
			msgs[i] = &messaging.Message{Body: body}
		}
		if err := p.Publish(ctx, to, msgs...); err != nil {
			return err
		}
		n -= len(msgs)
	}
	return nil
}

// WarrenConsumer handles with so many workers, on one subscription.
func WarrenConsumer(workers, prefetch int) Consume {
	return func(ctx context.Context, url, queue string, handle func()) error {
		broker, err := messaging.Open(ctx, url+warrenClassic)
		if err != nil {
			return err
		}
		source := messaging.Source{Address: messaging.Queue(queue), Concurrency: workers, Prefetch: prefetch}
		err = broker.Subscribe(ctx, source, func(context.Context, *messaging.Delivery) error {
			handle()
			return nil
		})
		return errors.Join(err, broker.Close(context.Background()))
	}
}

// share gives n pieces of work to goroutines, as evenly as it goes. f gets the
// number of the goroutine and its share.
func share(goroutines, n int, f func(goroutine, n int) error) error {
	errs := make([]error, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		mine := n / goroutines
		if g < n%goroutines {
			mine++
		}
		all.Go(func() { errs[g] = f(g, mine) })
	}
	all.Wait()
	return errors.Join(errs...)
}
