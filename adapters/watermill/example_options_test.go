package watermill_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Watermill's Nack as a failed attempt: tried again with a back-off, and
// dead-lettered in the end. What Watermill has no place for is in the context.
func ExampleDeliveryFromContext() {
	ctx := context.Background()
	quiet := slog.New(slog.DiscardHandler)
	broker := memory.New(memory.WithLogger(quiet))
	defer broker.Close(ctx)
	sub := watermill.NewSubscriber(broker,
		watermill.WithNack(errors.New("nacked")),
		watermill.WithLog(quiet),
		watermill.WithSource(func(topic string) messaging.Source {
			return messaging.Source{Address: messaging.Queue(topic), Retry: messaging.Retry{Min: 1}} // a nanosecond
		}))
	defer sub.Close()
	messages, err := sub.Subscribe(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	if err := watermill.NewPublisher(broker).Publish("orders", message.NewMessage(wm.NewUUID(), []byte("a book"))); err != nil {
		log.Fatal(err)
	}
	for m := range messages {
		d, _ := watermill.DeliveryFromContext(m.Context())
		fmt.Printf("%s from %s, attempt %d\n", m.Payload, d.From, d.Attempt)
		if d.Attempt == 2 {
			m.Ack()
			break
		}
		m.Nack()
	}
	// Output:
	// a book from queue:orders, attempt 1
	// a book from queue:orders, attempt 2
}

// What NewBroker cannot find out about a Pub/Sub. Here the Pub/Sub is warren's
// own, around a broker in memory: its subscribers share messages, it heeds
// delays, and the broker underneath looks after queues.
func ExampleNewBroker_options() {
	ctx := context.Background()
	under := memory.New()
	defer under.Close(ctx)
	broker := watermill.NewBroker(watermill.NewPublisher(under), watermill.NewSubscriber(under),
		watermill.WithCompeting(),
		watermill.WithDelays(),
		watermill.WithManager(under),
		watermill.WithTopic(func(a messaging.Address) (string, error) { return "shop." + a.Name(), nil }),
		watermill.WithLogger(slog.New(slog.DiscardHandler)))
	defer broker.Close(ctx)

	// The manager has the queue's own name, which is the Watermill topic.
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: "shop.orders", MaxLength: 10}); err != nil {
		log.Fatal(err)
	}
	if err := broker.Publish(ctx, messaging.Queue("orders"), &messaging.Message{Body: []byte("a book")}); err != nil {
		log.Fatal(err)
	}
	info, err := broker.Inspect(ctx, messaging.Queue("shop.orders"))
	fmt.Println(info.Ready, err)
	// Output: 1 <nil>
}
