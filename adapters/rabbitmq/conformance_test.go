package rabbitmq_test

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

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
	h := messagingtest.Harness{
		Accuracy: time.Second, // rule C14
		Slack:    500 * time.Millisecond,
		Open: func(ctx context.Context) (*messagingtest.Rig, error) {
			return openRig(ctx, t, direct, queueType, admin)
		},
	}
	if os.Getenv(rabbitmqtest.EnvURL) != "" {
		h.Missing = map[string]string{"P7": rabbitmqtest.EnvURL + " is set, and an alarm can be raised on a node of our own only"}
	}
	messagingtest.Run(t, h)
}

func openRig(ctx context.Context, t *testing.T, direct, queueType string, admin messaging.Broker) (*messagingtest.Rig, error) {
	u, err := url.Parse(direct)
	if err != nil {
		return nil, err
	}
	proxy, err := rabbitmqtest.StartProxy(u.Host)
	if err != nil {
		return nil, err
	}
	b, err := rabbitmq.Open(ctx, proxy.URL(direct)+"?queue_type="+queueType+"&reject_timeout=300ms&max_message_size=2097152")
	if err != nil {
		proxy.Close()
		return nil, err
	}
	alarm := func(on bool) {
		if err := rabbitmqtest.SharedNode(t).SetMemoryAlarm(on); err != nil {
			t.Error(err)
		}
	}
	refuse := func(on bool) {
		if err := proxy.Refuse(on); err != nil {
			t.Error(err)
		}
	}
	return &messagingtest.Rig{
		Broker:          b,
		Disconnect:      func() { refuse(true); proxy.Cut() },
		Reconnect:       func() { refuse(false) },
		HoldConfirms:    func() { proxy.Blackhole(rabbitmqtest.ToClient, true) },
		ReleaseConfirms: func() { proxy.Blackhole(rabbitmqtest.ToClient, false) },
		Block:           func() { alarm(true) },
		Unblock:         func() { alarm(false) },
		CancelConsumers: func(q messaging.Address) { // the one reason that RabbitMQ has on a single node
			if err := admin.Delete(context.Background(), q); err != nil {
				t.Error(err)
			}
		},
		Foreign: func(ctx context.Context, queue string) error { return publishForeign(ctx, direct, queue) },
		MaxSize: 2097152,
		Close:   proxy.Close,
	}, nil
}

// publishForeign sends what no warren and no Watermill publisher would.
func publishForeign(ctx context.Context, url, queue string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
		Headers: amqp.Table{
			"int": int32(-7), "long": int64(1) << 40, "byte": byte(3), "bool": true, "float": 1.5, "nil": nil,
			"decimal": amqp.Decimal{Scale: 2, Value: 314}, "time": time.Unix(1_700_000_000, 0),
			"bytes": []byte{0, 0xff}, "list": []any{"a", int32(1)}, "table": amqp.Table{"k": []any{amqp.Table{"deep": true}}},
			"x-death": []any{amqp.Table{"queue": "elsewhere", "reason": "expired", "count": int64(1)}},
		},
		Body: []byte{0xff, 0x00, 0xfe},
	})
	if err != nil {
		return err
	}
	_, err = confirm.WaitContext(ctx)
	return err
}
