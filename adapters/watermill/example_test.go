package watermill_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/pkg/messaging"
)

// A Watermill Router on the memory broker. With amqp:// and messaging.Open, it
// runs on RabbitMQ.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	broker := memory.New()
	defer broker.Close(context.Background())
	pub, sub := watermill.NewPublisher(broker), watermill.NewSubscriber(broker)

	router, err := message.NewRouter(message.RouterConfig{}, wm.NewSlogLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	router.AddHandler("greet", "names", sub, "greetings", pub, func(m *message.Message) ([]*message.Message, error) {
		return message.Messages{message.NewMessage(wm.NewUUID(), []byte("Hello "+string(m.Payload)+"!"))}, nil
	})
	router.AddConsumerHandler("print", "greetings", sub, func(m *message.Message) error {
		fmt.Printf("%s\n", m.Payload)
		cancel()
		return nil
	})
	go func() {
		<-router.Running() // every queue has been declared
		if err := pub.Publish("names", message.NewMessage(wm.NewUUID(), []byte("World"))); err != nil {
			log.Print(err)
		}
	}()
	if err := router.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: Hello World!
}

// Each group of subscribers gets a copy of each message, as with consumer
// groups in Watermill's Pub/Sub for Kafka.
func ExampleWithSource() {
	ctx := context.Background()
	broker := memory.New()
	defer broker.Close(ctx)

	pub := watermill.NewPublisher(broker, watermill.WithAddress(messaging.Topic))
	var groups []*watermill.Subscriber
	for _, group := range []string{"billing", "shipping"} {
		groups = append(groups, watermill.NewSubscriber(broker, watermill.WithSource(func(topic string) messaging.Source {
			return messaging.Source{Address: messaging.Topic(topic), Group: group}
		})))
	}
	for _, sub := range groups {
		if err := sub.SubscribeInitialize("orders"); err != nil {
			log.Fatal(err)
		}
	}
	if err := pub.Publish("orders", message.NewMessage(wm.NewUUID(), []byte("order 1"))); err != nil {
		log.Fatal(err)
	}
	for _, sub := range groups {
		messages, err := sub.Subscribe(ctx, "orders")
		if err != nil {
			log.Fatal(err)
		}
		m := <-messages
		fmt.Printf("%s\n", m.Payload)
		m.Ack()
		sub.Close()
	}
	// Output:
	// order 1
	// order 1
}

// A service written on package messaging, on a Pub/Sub of Watermill.
func ExampleNewBroker() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	channel := gochannel.NewGoChannel(gochannel.Config{}, wm.NopLogger{})
	broker := watermill.NewBroker(channel, channel)
	defer broker.Close(context.Background())

	src := messaging.Source{Address: messaging.Queue("names"), Ready: func() { // GoChannel keeps nothing for later
		go func() {
			if err := broker.Publish(ctx, messaging.Queue("names"), &messaging.Message{Body: []byte("World")}); err != nil {
				log.Print(err)
			}
		}()
	}}
	err := broker.Subscribe(ctx, src, func(_ context.Context, d *messaging.Delivery) error {
		fmt.Printf("Hello %s!\n", d.Body)
		cancel()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: Hello World!
}
