package ops

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// What becomes of messages is counted: by OpenTelemetry's conventions, and what
// they have no metric for.
func TestMetrics(t *testing.T) {
	r := start(t, Options{HTTP: "127.0.0.1:0", Subscribes: true})
	ctx := clitest.Context(t)
	q := messaging.Queue("orders")
	if err := r.broker.Declare(ctx, messaging.QueueSpec{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	holding, release := make(chan struct{}), make(chan struct{})
	src := messaging.Source{Address: q, Concurrency: 2, Retry: messaging.Retry{MaxAttempts: 3, Min: time.Millisecond, Max: time.Millisecond}}
	stop := r.subscribe(t, src, func(_ context.Context, d *messaging.Delivery) error {
		switch string(d.Body) {
		case "bad":
			return errors.New("bad")
		case "panics":
			panic("it panics")
		case "hold":
			close(holding)
			<-release
		}
		return nil
	})
	const where = `{messaging_destination_name="orders"}`
	r.wantMetrics(t, map[string]float64{ // before anything has happened
		"warren_messages_unsettled" + where:           0,
		"warren_messages_retried_total" + where:       0,
		"warren_messages_dead_lettered_total" + where: 0,
		"warren_connection_reconnects_total":          0,
	})
	b := r.Publishing(r.broker)
	for _, text := range []string{"good", "bad", "panics", "hold"} {
		if err := b.Publish(ctx, q, &messaging.Message{Body: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	<-holding
	dead := map[string]float64{"warren_messages_dead_lettered_total" + where: 2}
	eventually(t, "two messages are dead-lettered", func() bool {
		for name, value := range dead {
			return r.metrics(t)[name] == value
		}
		return false
	})
	const system = `messaging_destination_name="orders",messaging_operation_name=`
	r.wantMetrics(t, map[string]float64{
		"warren_messages_unsettled" + where:                                                                              1,
		"warren_messages_retried_total" + where:                                                                          4, // two of each
		"warren_messages_dead_lettered_total" + where:                                                                    2,
		"warren_subscriptions_active":                                                                                    1,
		"warren_connection_blocked":                                                                                      0,
		`warren_connection_state{state="connected"}`:                                                                     1,
		`warren_connection_state{state="connecting"}`:                                                                    0,
		`messaging_client_sent_messages_total{` + system + `"send",messaging_system="memory"}`:                           4,
		`messaging_client_consumed_messages_total{` + system + `"process",messaging_system="memory"}`:                    8,
		`messaging_process_duration_seconds_count{` + system + `"process",messaging_system="memory"}`:                    1,
		`messaging_process_duration_seconds_count{error_type="panic",` + system + `"process",messaging_system="memory"}`: 3,
	})
	if all := r.metrics(t); all["go_goroutines"] == 0 || all["process_start_time_seconds"] == 0 {
		t.Error("the runtime's and the process's metrics are missing")
	}
	close(release)
	stop()
	r.wantMetrics(t, map[string]float64{"warren_messages_unsettled" + where: 0, "warren_subscriptions_active": 0})
}

// Acknowledged before: nothing is tried again.
func TestMetricsWithAutoAck(t *testing.T) {
	r := start(t, Options{HTTP: "127.0.0.1:0"})
	src := messaging.Source{Address: messaging.Queue("q"), AutoAck: true}
	h := r.Handling(src)(func(context.Context, *messaging.Delivery) error { return messaging.Reject(errors.New("bad")) })
	if err := h(t.Context(), &messaging.Delivery{From: src.Address, Attempt: 1}); err == nil {
		t.Error("the verdict is lost")
	}
	const where = `{messaging_destination_name="q"}`
	r.wantMetrics(t, map[string]float64{"warren_messages_retried_total" + where: 0, "warren_messages_dead_lettered_total" + where: 0})
}

// What the shutdown timeout cuts goes back, and counts as neither.
func TestMetricsOfWhatIsCut(t *testing.T) {
	r := start(t, Options{HTTP: "127.0.0.1:0"})
	ctx, cut := context.WithCancel(t.Context())
	src := messaging.Source{Address: messaging.Topic("t"), Group: "g", Retry: messaging.Retry{MaxAttempts: 1}}
	h := r.Handling(src)(func(ctx context.Context, _ *messaging.Delivery) error { cut(); return ctx.Err() })
	_ = h(ctx, &messaging.Delivery{From: src.Address, Attempt: 1})
	const where = `{messaging_destination_name="t.g"}`
	r.wantMetrics(t, map[string]float64{"warren_messages_retried_total" + where: 0, "warren_messages_dead_lettered_total" + where: 0})
}

func TestReconnectsAreCounted(t *testing.T) {
	r := start(t, Options{HTTP: "127.0.0.1:0"})
	r.wantMetrics(t, map[string]float64{"warren_connection_reconnects_total": 0})
	for i := range 2 {
		r.broker.Disconnect()
		r.wantMetrics(t, map[string]float64{`warren_connection_state{state="connected"}`: 0, `warren_connection_state{state="connecting"}`: 1})
		r.broker.Reconnect()
		eventually(t, "a reconnection is counted", func() bool {
			return r.metrics(t)["warren_connection_reconnects_total"] == float64(i+1)
		})
	}
}

// Each line about a message has its ID and the trace that the message is in.
func TestLog(t *testing.T) {
	r := start(t, Options{})
	ctx := clitest.Context(t)
	if err := r.broker.Declare(ctx, messaging.QueueSpec{Name: "q", MaxLength: 1}); err != nil {
		t.Fatal(err)
	}
	err := r.Publishing(r.broker).Publish(ctx, messaging.Queue("q"), &messaging.Message{ID: "one"}, &messaging.Message{ID: "two"})
	if err == nil {
		t.Fatal("the second message was not refused")
	}
	if err := r.Publishing(r.broker).Publish(ctx, messaging.Queue("q"), nil); err == nil {
		t.Error("nil is no error")
	}
	lines := r.log.Lines()
	if len(lines) != 2 || !strings.Contains(lines[0], `level=INFO msg="sent message" id=one to=queue:q`) ||
		!strings.Contains(lines[1], `level=WARN msg="message failed" id=two to=queue:q error=`) {
		t.Errorf("the log is %q", lines)
	}
}
