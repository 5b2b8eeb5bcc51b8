package otelmessaging_test

import (
	"context"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }

// rig is a Telemetry with exporters in memory.
type rig struct {
	*otelmessaging.Telemetry
	t      *testing.T
	tracer *trace.TracerProvider
	spans  *tracetest.InMemoryExporter
	reader *metric.ManualReader
}

const rabbitURL = "amqp://guest:secret@rabbit.example.org/"

func newRig(t *testing.T, url string, opts ...otelmessaging.Option) *rig {
	t.Helper()
	r := &rig{t: t, spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	r.tracer = trace.NewTracerProvider(trace.WithSyncer(r.spans))
	meters := metric.NewMeterProvider(metric.WithReader(r.reader))
	t.Cleanup(func() {
		_ = r.tracer.Shutdown(context.Background())
		_ = meters.Shutdown(context.Background())
	})
	var err error
	r.Telemetry, err = otelmessaging.New(url, append(opts,
		otelmessaging.WithTracerProvider(r.tracer), otelmessaging.WithMeterProvider(meters))...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// span returns the only span of that name.
func (r *rig) span(name string) tracetest.SpanStub {
	r.t.Helper()
	found := r.all(name)
	if len(found) != 1 {
		r.t.Fatalf("%d spans named %q, want 1; there are %q", len(found), name, r.names())
	}
	return found[0]
}

func (r *rig) all(name string) []tracetest.SpanStub {
	return slices.DeleteFunc(r.spans.GetSpans(), func(s tracetest.SpanStub) bool { return s.Name != name })
}

func (r *rig) names() (names []string) {
	for _, s := range r.spans.GetSpans() {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

// metrics returns what was measured, by name.
func (r *rig) metrics() map[string]metricdata.Metrics {
	r.t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(r.t.Context(), &all); err != nil {
		r.t.Fatal(err)
	}
	byName := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != otelmessaging.ScopeName || scope.Scope.SchemaURL != otelmessaging.SchemaURL {
			r.t.Errorf("metrics of scope %s with schema %q", scope.Scope.Name, scope.Scope.SchemaURL)
		}
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// wantAttrs compares all attributes, given as pairs of key and value.
func wantAttrs(t *testing.T, what string, got []attribute.KeyValue, want map[string]any) {
	t.Helper()
	for _, a := range got {
		value, known := want[string(a.Key)]
		if !known {
			t.Errorf("%s has %s=%v, which it should not", what, a.Key, a.Value.AsInterface())
		} else if a.Value.AsInterface() != value {
			t.Errorf("%s has %s=%v, want %v", what, a.Key, a.Value.AsInterface(), value)
		}
	}
	for key := range want {
		if !slices.ContainsFunc(got, func(a attribute.KeyValue) bool { return string(a.Key) == key }) {
			t.Errorf("%s lacks %s", what, key)
		}
	}
}

// publisherFunc is a Publisher.
type publisherFunc func(to messaging.Address, msgs ...*messaging.Message) error

func (f publisherFunc) Publish(_ context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	return f(to, msgs...)
}

// stored is a Publisher that keeps what it gets.
func stored(into *[]*messaging.Message) publisherFunc {
	return func(to messaging.Address, msgs ...*messaging.Message) error {
		if err := messaging.Prepare(to, msgs); err != nil {
			return err
		}
		for _, m := range msgs {
			c := m.Clone()
			*into = append(*into, &c)
		}
		return nil
	}
}
