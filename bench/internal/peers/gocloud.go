package peers

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/rabbitpubsub"
)

type goCloudPublisher struct {
	conn       *amqp.Connection
	exchange   string
	topic      *pubsub.Topic
	body       []byte
	goroutines int
}

// GoCloudPublisher publishes through gocloud.dev's rabbitpubsub, which sends
// to an exchange. It does not persist by itself; here every message is told to.
func GoCloudPublisher(goroutines int) OpenPublisher {
	return func(_ context.Context, url, queue string, body []byte) (Publisher, error) {
		conn, err := amqp.Dial(url)
		if err != nil {
			return nil, err
		}
		g := &goCloudPublisher{conn: conn, exchange: queue, body: body, goroutines: goroutines}
		if err := g.bind(queue); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		g.topic = rabbitpubsub.OpenTopic(conn, g.exchange, nil)
		return g, nil
	}
}

func (g *goCloudPublisher) bind(queue string) error {
	ch, err := g.conn.Channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	return errors.Join(
		ch.ExchangeDeclare(g.exchange, amqp.ExchangeFanout, true, true, false, false, nil), // gone with the queue
		ch.QueueBind(queue, "", g.exchange, false, nil))
}

func (g *goCloudPublisher) Publish(ctx context.Context, n int) error {
	return share(g.goroutines, n, func(_, n int) error {
		for range n {
			if err := g.topic.Send(ctx, &pubsub.Message{Body: g.body, BeforeSend: persist}); err != nil {
				return err
			}
		}
		return nil
	})
}

func persist(as func(any) bool) error {
	var p *amqp.Publishing
	if !as(&p) {
		return errors.New("rabbitpubsub does not show its publishing")
	}
	p.DeliveryMode = amqp.Persistent
	return nil
}

func (g *goCloudPublisher) Close() error {
	return errors.Join(g.topic.Shutdown(context.Background()), g.conn.Close())
}

// GoCloudConsumer handles with so many workers, on one subscription.
func GoCloudConsumer(workers int) Consume {
	return func(ctx context.Context, url, queue string, handle func(body []byte)) error {
		conn, err := amqp.Dial(url)
		if err != nil {
			return err
		}
		prefetch := Prefetch
		s := rabbitpubsub.OpenSubscription(conn, queue, &rabbitpubsub.SubscriptionOptions{PrefetchCount: &prefetch})
		err = share(workers, workers, func(int, int) error { return receive(ctx, s, handle) })
		return errors.Join(err, s.Shutdown(context.Background()), conn.Close())
	}
}

// receive handles and acknowledges until ctx ends.
func receive(ctx context.Context, s *pubsub.Subscription, handle func(body []byte)) error {
	for {
		m, err := s.Receive(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		handle(m.Body)
		m.Ack()
	}
}
