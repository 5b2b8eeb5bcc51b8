package readme

import (
	"context"

	_ "github.com/warrenmq/warren/adapters/memory"   // memory://
	_ "github.com/warrenmq/warren/adapters/rabbitmq" // amqp:// and amqps://
	"github.com/warrenmq/warren/pkg/messaging"
)

func hello(ctx context.Context, url string, work func(body []byte) error) error {
	broker, err := messaging.Open(ctx, url) // such as memory://, or amqp://user:password@host/
	if err != nil {
		return err
	}
	defer broker.Close(context.WithoutCancel(ctx))

	queue := messaging.Queue("hello")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
		return err
	}
	if err := broker.Publish(ctx, queue, &messaging.Message{Body: []byte("Hello World!")}); err != nil {
		return err // nil is: routed, confirmed, stored
	}
	return broker.Subscribe(ctx, messaging.Source{Address: queue}, func(ctx context.Context, d *messaging.Delivery) error {
		return work(d.Body) // nil: done. An error: tried again with back-off, then dead-lettered.
	})
}
