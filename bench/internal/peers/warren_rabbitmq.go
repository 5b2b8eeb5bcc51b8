package peers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/pkg/messaging"

	_ "github.com/warrenmq/warren/adapters/rabbitmq" // amqp:// for messaging.Open
)

// warrenClassic is what a URL of warren's has in the rows of RabbitMQ, whose
// queues are classic ones.
const warrenClassic = "?queue_type=classic"

// warrenPublisher publishes from goroutines, each so many messages a call.
type warrenPublisher struct {
	broker     messaging.Broker
	calls      *measure.Calls
	to         messaging.Address
	body       []byte
	goroutines int
	perCall    int
}

// WarrenPublisher publishes through a messaging.Broker. The calls are recorded
// where calls is not nil.
func WarrenPublisher(goroutines, perCall int, calls *measure.Calls) OpenPublisher {
	return func(ctx context.Context, url, queue string, body []byte) (Publisher, error) {
		broker, err := messaging.Open(ctx, url+warrenClassic)
		if err != nil {
			return nil, err
		}
		return &warrenPublisher{broker, calls, messaging.Queue(queue), body, goroutines, perCall}, nil
	}
}

func (w *warrenPublisher) Publish(ctx context.Context, n int) error {
	var p messaging.Publisher = w.broker
	if w.calls != nil {
		p = recording{p, w.calls}
	}
	return share(w.goroutines, n, func(_, n int) error {
		return warrenPublish(ctx, p, w.to, w.body, n, w.perCall)
	})
}

// recording records how long calls take.
type recording struct {
	messaging.Publisher
	calls *measure.Calls
}

func (r recording) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	start := time.Now()
	err := r.Publisher.Publish(ctx, to, msgs...)
	r.calls.Record(time.Since(start))
	return err
}

func (w *warrenPublisher) Close() error { return w.broker.Close(context.Background()) }

// warrenPublish publishes n messages, so many a call. It uses the values again,
// as a busy publisher does: they are its own once Publish has returned.
func warrenPublish(ctx context.Context, p messaging.Publisher, to messaging.Address, body []byte, n, perCall int) error {
	values := make([]messaging.Message, perCall)
	msgs := make([]*messaging.Message, perCall)
	for n > 0 {
		msgs = msgs[:min(n, perCall)]
		for i := range msgs {
			values[i] = messaging.Message{Body: body}
			msgs[i] = &values[i]
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
	return func(ctx context.Context, url, queue string, handle func(body []byte)) error {
		broker, err := messaging.Open(ctx, url+warrenClassic)
		if err != nil {
			return err
		}
		source := messaging.Source{Address: messaging.Queue(queue), Concurrency: workers, Prefetch: prefetch}
		err = broker.Subscribe(ctx, source, func(_ context.Context, d *messaging.Delivery) error {
			handle(d.Body)
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

// WarrenSender sends for [RabbitMQ.Paced].
func WarrenSender(ctx context.Context, url, queue string) (Sender, error) {
	p, err := WarrenPublisher(Senders, 1, nil)(ctx, url, queue, nil)
	if err != nil {
		return nil, err
	}
	return p.(*warrenPublisher), nil
}

func (w *warrenPublisher) Send(ctx context.Context, _ int, body []byte) error {
	return w.broker.Publish(ctx, w.to, &messaging.Message{Body: body})
}
