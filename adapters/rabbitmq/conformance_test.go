package rabbitmq_test

import (
	"context"
	"testing"
	"time"

	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

func TestConformance(t *testing.T)        { conformance(t, "quorum") }
func TestConformanceClassic(t *testing.T) { conformance(t, "classic") }

// conformance runs every case through a proxy of its own, which breaks that
// case's network and nobody else's.
func conformance(t *testing.T, queueType string) {
	direct := rabbitmqtest.URL(t)
	admin, err := rabbitmq.Open(t.Context(), direct)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	messagingtest.Run(t, messagingtest.Harness{
		Accuracy: time.Second, // rule C14
		Slack:    500 * time.Millisecond,
		Missing:  rabbitmqtest.MissingFaults(),
		Open: func(ctx context.Context) (*messagingtest.Rig, error) {
			rig, err := rabbitmqtest.Rig(t, "queue_type="+queueType+"&reject_timeout=300ms&max_message_size=2097152",
				func(url string) (messaging.Broker, error) { return rabbitmq.Open(ctx, url) })
			if err != nil {
				return nil, err
			}
			rig.MaxSize = 2097152
			rig.Foreign = func(ctx context.Context, queue string) error { return publishForeign(ctx, direct, queue) }
			rig.CancelConsumers = func(q messaging.Address) { // the one reason that RabbitMQ has on a single node
				if err := admin.Delete(context.Background(), q); err != nil {
					t.Error(err)
				}
			}
			return rig, nil
		},
	})
}
