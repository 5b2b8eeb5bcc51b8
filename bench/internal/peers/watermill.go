package peers

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
)

// watermillConfig is a durable queue with confirms, and its channels kept in a
// pool: by default it opens one for each call.
func watermillConfig(url string, pool int) wamqp.Config {
	config := wamqp.NewDurableQueueConfig(url)
	config.Publish.ConfirmDelivery = true
	config.Publish.ChannelPoolSize = pool
	config.Consume.Qos.PrefetchCount = Prefetch
	config.Queue.Arguments = classic
	return config
}

type watermillPublisher struct {
	publisher  *wamqp.Publisher
	queue      string
	body       []byte
	goroutines int
	perCall    int
}

// WatermillPublisher publishes through watermill-amqp, with as many channels
// as goroutines.
func WatermillPublisher(goroutines, perCall int) OpenPublisher {
	return openWatermill(goroutines, goroutines, perCall)
}

// WatermillDefault is the same without the pool, as it comes.
func WatermillDefault(goroutines, perCall int) OpenPublisher {
	return openWatermill(0, goroutines, perCall)
}

func openWatermill(pool, goroutines, perCall int) OpenPublisher {
	return func(_ context.Context, url, queue string, body []byte) (Publisher, error) {
		p, err := wamqp.NewPublisher(watermillConfig(url, pool), watermill.NopLogger{})
		if err != nil {
			return nil, err
		}
		return &watermillPublisher{p, queue, body, goroutines, perCall}, nil
	}
}

func (w *watermillPublisher) Publish(_ context.Context, n int) error {
	return share(w.goroutines, n, func(_, n int) error {
		return watermillPublish(w.publisher, w.queue, w.body, n, w.perCall)
	})
}

func (w *watermillPublisher) Close() error { return w.publisher.Close() }

func watermillPublish(p message.Publisher, topic string, body []byte, n, perCall int) error {
	msgs := make([]*message.Message, perCall)
	for n > 0 {
		msgs = msgs[:min(n, perCall)]
		for i := range msgs {
			msgs[i] = message.NewMessage(watermill.NewUUID(), body)
		}
		if err := p.Publish(topic, msgs...); err != nil {
			return err
		}
		n -= len(msgs)
	}
	return nil
}

// WatermillConsumer handles with so many workers. Each has a subscription of
// its own, with one message at a time.
func WatermillConsumer(workers int) Consume {
	return func(ctx context.Context, url, queue string, handle func(body []byte)) error {
		s, err := wamqp.NewSubscriber(watermillConfig(url, 0), watermill.NopLogger{})
		if err != nil {
			return err
		}
		err = share(workers, workers, func(int, int) error {
			messages, err := s.Subscribe(context.WithoutCancel(ctx), queue)
			if err != nil {
				return err
			}
			for {
				select {
				case m, ok := <-messages:
					if !ok {
						return errors.New("the subscription ended")
					}
					handle(m.Payload)
					m.Ack()
				case <-ctx.Done():
					return nil
				}
			}
		})
		return errors.Join(err, s.Close())
	}
}
