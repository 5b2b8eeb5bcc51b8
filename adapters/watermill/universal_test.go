package watermill_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestUniversal is Watermill's own suite, which every Pub/Sub of Watermill has
// to pass, over our brokers. Two of its cases skip inside:
// TestNewSubscriberReceivesOldMessages is for Pub/Subs that keep what was
// consumed, and TestReconnect is run by TestUniversalReconnect.
func TestUniversal(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		b := memory.New(memory.WithLogger(quiet))
		t.Cleanup(func() { closeBroker(t, b) })
		universal(t, func(*testing.T) messaging.Broker { return b })
	})
	t.Run("quorum", func(t *testing.T) {
		url := rabbitmqtest.URL(t)
		universal(t, func(t *testing.T) messaging.Broker { return openRabbitMQ(t, url) })
	})
}

// universal runs the suite. Each Pub/Sub of it has a Broker of its own where
// open makes one. Consumer groups are topics.
func universal(t *testing.T, open func(t *testing.T) messaging.Broker) {
	tests.TestPubSub(t, features(),
		func(t *testing.T) (message.Publisher, message.Subscriber) { return pubSub(open(t), queueSource) },
		func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
			return pubSub(open(t), func(topic string) messaging.Source {
				return messaging.Source{Address: messaging.Topic(topic), Group: group}
			})
		})
}

func features() tests.Features {
	return tests.Features{
		ConsumerGroups:                      true,
		Persistent:                          true,
		GuaranteedOrder:                     true,
		GuaranteedOrderWithSingleSubscriber: true, // several compete
	}
}

// queueSource has less patience than the default: a case of the suite leaves a
// message without an answer and waits for its context to end.
func queueSource(topic string) messaging.Source {
	return messaging.Source{Address: messaging.Queue(topic), ShutdownTimeout: 3 * time.Second}
}

func pubSub(b messaging.Broker, source func(topic string) messaging.Source) (message.Publisher, message.Subscriber) {
	address := func(topic string) messaging.Address { return source(topic).Address }
	return watermill.NewPublisher(b, watermill.WithAddress(address)),
		watermill.NewSubscriber(b, watermill.WithSource(source), watermill.WithLog(quiet))
}

func openRabbitMQ(t *testing.T, url string) messaging.Broker {
	t.Helper()
	b, err := rabbitmq.Open(t.Context(), url, rabbitmq.WithLogger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBroker(t, b) })
	return b
}

func closeBroker(t *testing.T, b messaging.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}
