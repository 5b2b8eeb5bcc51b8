package otelmessaging_test

import (
	"errors"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

func sums(t *testing.T, m metricdata.Metrics) []metricdata.DataPoint[int64] {
	t.Helper()
	sum, ok := m.Data.(metricdata.Sum[int64])
	if !ok || !sum.IsMonotonic || m.Unit != "{message}" {
		t.Fatalf("%q is a %T in %q, want a counter of messages", m.Name, m.Data, m.Unit)
	}
	return sum.DataPoints
}

func histograms(t *testing.T, m metricdata.Metrics) []metricdata.HistogramDataPoint[float64] {
	t.Helper()
	h, ok := m.Data.(metricdata.Histogram[float64])
	if !ok || m.Unit != "s" {
		t.Fatalf("%q is a %T in %q, want a histogram in seconds", m.Name, m.Data, m.Unit)
	}
	want := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	for _, p := range h.DataPoints {
		if !slices.Equal(p.Bounds, want) {
			t.Errorf("%s has buckets %v, want %v", m.Name, p.Bounds, want)
		}
	}
	return h.DataPoints
}

func TestMetrics(t *testing.T) {
	r := newRig(t, rabbitURL)
	var got []*messaging.Message
	topic := messaging.Topic("logs")
	for range 2 {
		if err := r.Publisher(stored(&got)).Publish(t.Context(), topic, &messaging.Message{Key: "a"}, &messaging.Message{Key: "b"}); err != nil {
			t.Fatal(err)
		}
	}
	src := messaging.Source{Address: topic, Group: "g"}
	for _, err := range []error{nil, nil, errors.New("fails")} {
		_ = r.Middleware(src)(returns(err))(t.Context(), &messaging.Delivery{From: topic, Attempt: 1, Message: messaging.Message{Key: "a"}})
	}

	base := map[string]any{"messaging.system": "rabbitmq", "server.address": "rabbit.example.org", "server.port": int64(5672),
		"messaging.destination.template": "logs"}
	with := func(more ...any) map[string]any {
		all := map[string]any{}
		for k, v := range base {
			all[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i].(string)] = more[i+1]
		}
		return all
	}
	metrics := r.metrics()
	if len(metrics) != 4 {
		t.Errorf("%d metrics, want 4", len(metrics))
	}
	send := histograms(t, metrics["messaging.client.operation.duration"])
	if len(send) != 1 || send[0].Count != 2 {
		t.Fatalf("send: %+v, want 2 operations", send)
	}
	wantAttrs(t, "operation.duration", send[0].Attributes.ToSlice(), with("messaging.operation.name", "send", "messaging.operation.type", "send"))
	sent := sums(t, metrics["messaging.client.sent.messages"])
	if len(sent) != 1 || sent[0].Value != 4 {
		t.Fatalf("sent: %+v, want 4 messages", sent)
	}
	wantAttrs(t, "sent.messages", sent[0].Attributes.ToSlice(), with("messaging.operation.name", "send"))

	consumer := []any{"messaging.operation.name", "process", "messaging.consumer.group.name", "g"}
	consumed := sums(t, metrics["messaging.client.consumed.messages"])
	if len(consumed) != 1 || consumed[0].Value != 3 {
		t.Fatalf("consumed: %+v, want 3 messages", consumed)
	}
	wantAttrs(t, "consumed.messages", consumed[0].Attributes.ToSlice(), with(consumer...))
	processed := histograms(t, metrics["messaging.process.duration"])
	if len(processed) != 2 {
		t.Fatalf("processed: %+v, want those that failed by themselves", processed)
	}
	for _, p := range processed {
		if _, failed := p.Attributes.Value("error.type"); failed {
			wantAttrs(t, "process.duration", p.Attributes.ToSlice(), with(append(consumer, "error.type", "_OTHER")...))
		} else if p.Count != 2 {
			t.Errorf("%d were processed without an error, want 2", p.Count)
		}
	}
}

func TestURLs(t *testing.T) {
	for url, want := range map[string]map[string]any{
		"memory://":                     {"messaging.system": "memory"},
		"amqp://u:p@one:1234,two/vhost": {"messaging.system": "rabbitmq", "server.address": "one", "server.port": int64(1234)},
		"amqps://[::1]/":                {"messaging.system": "rabbitmq", "server.address": "::1", "server.port": int64(5671)},
		"nats://u:p@server":             {"messaging.system": "nats", "server.address": "server"},
	} {
		r := newRig(t, url)
		var got []*messaging.Message
		if err := r.Publisher(stored(&got)).Publish(t.Context(), messaging.Queue("q"), &messaging.Message{}); err != nil {
			t.Fatal(err)
		}
		want["messaging.operation.name"], want["messaging.destination.name"] = "send", "q"
		wantAttrs(t, url, sums(t, r.metrics()["messaging.client.sent.messages"])[0].Attributes.ToSlice(), want)
	}
	if _, err := otelmessaging.New("nonsense"); !errors.Is(err, messaging.ErrURL) {
		t.Errorf("nonsense: %v, want ErrURL", err)
	}
}
