package watermill_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	wm "github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

var quiet = slog.New(slog.DiscardHandler)

// noTopics is what no Broker of this package has.
const noTopics = "groups and keys are for the Watermill Subscriber to configure, not for a Source"

// TestConformanceAMQP is stock watermill-amqp, with confirms and otherwise as
// its durable queue configuration has it.
func TestConformanceAMQP(t *testing.T) {
	url := rabbitmqtest.URL(t)
	messagingtest.Run(t, messagingtest.Harness{
		Open: func(context.Context) (*messagingtest.Rig, error) {
			b, err := stockBroker(url)
			return &messagingtest.Rig{Broker: b}, err
		},
		Slack:   500 * time.Millisecond,
		Missing: missingOnAMQP,
	})
}

var missingOnAMQP = map[string]string{
	"P3":                         "the error names what failed, but the Publisher knows no limits by which anything could fail here; see TestPublishNamesFailed",
	"P4":                         "watermill-amqp reports no message that was returned: Publish is nil, and the message is lost",
	"P5_returns_when_ctx_ends":   "it holds with a Publisher that hangs, see TestPublishReturns; but watermill-amqp has a data race when it reconnects",
	"P5_unconfirmed":             "as P5_returns_when_ctx_ends",
	"P6":                         "watermill-amqp returns an error while it is not connected",
	"P7":                         "watermill-amqp takes no notice of connection.blocked, and waits for ever",
	"P8":                         "watermill-amqp knows no size limit",
	"P9":                         "watermill-amqp says that a message was not confirmed, and not that it was refused; queues have no MaxLength without a Manager",
	"C1_get":                     "a queue that does not exist is declared by watermill-amqp's subscription",
	"C2_concurrency_is_prefetch": "a Watermill subscription that waits for its next message takes up one of Prefetch",
	"C5_requeue":                 "Watermill has no mark for redelivery",
	"C5_retry_is_marked":         "Watermill has no mark for redelivery",
	"C5_wait_holds_up_nothing":   "watermill-amqp hands out the next message when the one before is acknowledged, and what waits for a retry is not",
	"C7_dead_letter_confirmed":   "needs MaxLength, as P9",
	"C7_redrive_to_nowhere":      "as P4, and Delete needs a Manager",
	"C8_lost_connection":         "Watermill has no mark for redelivery, and watermill-amqp has a data race when it reconnects",
	"C8_late_verdict":            "as C8_lost_connection",
	"C9_foreign":                 "watermill-amqp's DefaultMarshaler returns a header that is no string to the queue for ever; the RabbitMQ adapter's Marshaler does not",
	"C12":                        "watermill-amqp resumes, does not say so, and has a data race when it does",
	"C14":                        "watermill-amqp has no delays, and the cases need them; TTL is kept, see TestTTL",
	"T1":                         noTopics,
	"T2":                         noTopics,
	"T3":                         noTopics,
	"S5_close_while_away":        "as P5_returns_when_ctx_ends",
}

func stockBroker(url string) (*watermill.Broker, error) {
	config := wamqp.NewDurableQueueConfig(url)
	config.Publish.ConfirmDelivery = true
	pub, err := wamqp.NewPublisher(config, wm.NopLogger{})
	if err != nil {
		return nil, err
	}
	sub, err := wamqp.NewSubscriber(config, wm.NopLogger{})
	if err != nil {
		_ = pub.Close()
		return nil, err
	}
	return watermill.NewBroker(pub, sub, watermill.WithCompeting(), watermill.WithLogger(quiet)), nil
}

// TestConformanceGoChannel is Watermill's Pub/Sub in the process. It is no
// queue: every subscription gets every message, also, where it is persistent,
// those that were acknowledged.
func TestConformanceGoChannel(t *testing.T) {
	messagingtest.Run(t, messagingtest.Harness{
		Open: func(context.Context) (*messagingtest.Rig, error) {
			ch := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, nil)
			return &messagingtest.Rig{Broker: watermill.NewBroker(ch, ch, watermill.WithLogger(quiet))}, nil
		},
		Slack:   500 * time.Millisecond,
		Missing: missingOnGoChannel,
	})
}

var missingOnGoChannel = func() map[string]string {
	const (
		everybody = "every subscription gets every message, acknowledged or not"
		disorder  = "GoChannel keeps no order"
		noFaults  = "there is no connection that could fail"
	)
	return map[string]string{
		"P1":                       everybody,
		"P2":                       disorder,
		"P3":                       "GoChannel refuses no message",
		"P4":                       "GoChannel creates topics by itself",
		"P5_returns_when_ctx_ends": noFaults,
		"P5_unconfirmed":           noFaults,
		"P6":                       noFaults,
		"P7":                       noFaults,
		"P8":                       "GoChannel knows no size limit",
		"P9":                       "GoChannel knows no limits",
		"P11":                      disorder,
		"C1":                       everybody,
		"C2":                       everybody,
		"C3":                       disorder,
		"C5":                       everybody,
		"C6_attempts":              everybody,
		"C7":                       everybody,
		"C8_lost_connection":       noFaults,
		"C8_late_verdict":          noFaults,
		"C9":                       disorder,
		"C10":                      everybody,
		"C12":                      noFaults,
		"C13":                      everybody,
		"C14":                      "GoChannel has no delays",
		"T1":                       noTopics,
		"T2":                       noTopics,
		"T3":                       noTopics,
		"S1":                       everybody,
		"S2":                       everybody,
		"S3":                       everybody,
		"S4":                       everybody,
		"S5_close_while_away":      noFaults,
	}
}()

// TestConformanceBothWays sends every message through both halves of this
// package, and the memory broker below them. It shows what the way through
// Watermill costs: next to nothing, where a Pub/Sub does its part.
func TestConformanceBothWays(t *testing.T) {
	messagingtest.Run(t, messagingtest.Harness{
		Open:   func(context.Context) (*messagingtest.Rig, error) { return bothWays(), nil },
		Around: synctest.Test,
		Missing: map[string]string{
			"P7":                         "Publish says ErrBlocked; Health cannot know",
			"C1_get":                     "a queue that does not exist is declared by the subscription",
			"C5_retry_is_marked":         "Watermill has no mark for redelivery",
			"C2_concurrency_is_prefetch": "a Watermill subscription that waits for its next message takes up one of Prefetch",
			"C8_lost_connection":         "it may come again to the subscription whose one handler is still busy with it",
			"C8_late_verdict":            "as C8_lost_connection",
			"C11_nothing_unsent":         "Watermill does not say when a subscription has resumed, and the case waits for that",
			"C12":                        "a subscription resumes; Watermill does not say when",
			"T1":                         noTopics,
			"T2":                         noTopics,
			"T3":                         noTopics,
		},
	})
}

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
