package watermill_test

import (
	"context"
	"log/slog"

	wm "github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

var quiet = slog.New(slog.DiscardHandler)

// stockBroker is stock watermill-amqp, with confirms and otherwise as its
// durable queue configuration has it.
func stockBroker(url string) (*watermill.Broker, error) {
	config := wamqp.NewDurableQueueConfig(url)
	config.Publish.ConfirmDelivery = true
	return brokerOf(config)
}

// brokerOf is watermill-amqp as a configuration has it.
func brokerOf(config wamqp.Config, opts ...watermill.BrokerOption) (*watermill.Broker, error) {
	pub, err := wamqp.NewPublisher(config, wm.NopLogger{})
	if err != nil {
		return nil, err
	}
	sub, err := wamqp.NewSubscriber(config, wm.NopLogger{})
	if err != nil {
		_ = pub.Close()
		return nil, err
	}
	return watermill.NewBroker(pub, sub, append(opts, watermill.WithCompeting(), watermill.WithLogger(quiet))...), nil
}

// bothWays is both halves of this package, and the memory broker below them.
func bothWays() *messagingtest.Rig {
	m := memory.New(memory.WithLogger(quiet))
	sub := watermill.NewSubscriber(m, watermill.WithLog(quiet), watermill.WithSource(oneAtATime))
	return &messagingtest.Rig{
		Broker: watermill.NewBroker(watermill.NewPublisher(m), sub,
			watermill.WithCompeting(), watermill.WithDelays(), watermill.WithManager(m), watermill.WithLogger(quiet)),
		Disconnect:      m.Disconnect,
		Reconnect:       m.Reconnect,
		HoldConfirms:    m.HoldConfirms,
		ReleaseConfirms: m.ReleaseConfirms,
		Block:           func() { m.Block("the test says so") },
		Unblock:         m.Unblock,
		CancelConsumers: m.CancelConsumers,
		Foreign: func(_ context.Context, queue string) error {
			return m.Inject(messaging.Queue(queue), messaging.Message{
				Headers: map[string]string{"bytes": "\x00\xff"}, Body: []byte{0xff, 0}})
		},
		MaxSize: memory.DefaultMaxMessageSize,
		Close:   func() { _ = m.Close(context.Background()) },
	}
}

// oneAtATime leaves the prefetching to the Broker.
func oneAtATime(topic string) messaging.Source {
	return messaging.Source{Address: messaging.Queue(topic), Prefetch: 1}
}
