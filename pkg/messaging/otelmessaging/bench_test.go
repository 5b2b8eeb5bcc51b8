package otelmessaging_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

// What telemetry adds to a message, without a broker: nothing is exported.
func BenchmarkTelemetry(b *testing.B) {
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
	for name, opts := range map[string][]otelmessaging.Option{
		"nothing set up": nil,
		"not sampled": {otelmessaging.WithMeterProvider(meters),
			otelmessaging.WithTracerProvider(trace.NewTracerProvider(trace.WithSampler(trace.NeverSample())))},
		"sampled": {otelmessaging.WithMeterProvider(meters),
			otelmessaging.WithTracerProvider(trace.NewTracerProvider())},
	} {
		t, err := otelmessaging.New("amqp://localhost/", opts...)
		if err != nil {
			b.Fatal(err)
		}
		src := messaging.Source{Address: messaging.Queue("hello")}
		p := t.Publisher(publisherFunc(func(messaging.Address, ...*messaging.Message) error { return nil }))
		h := t.Middleware(src)(func(context.Context, *messaging.Delivery) error { return nil })
		m := &messaging.Message{ID: "a"}
		d := &messaging.Delivery{From: src.Address, Attempt: 1,
			Message: messaging.Message{ID: "a", Headers: map[string]string{"traceparent": parent}}}
		b.Run(name+"/publish", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = p.Publish(b.Context(), src.Address, m)
			}
		})
		b.Run(name+"/handle", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = h(b.Context(), d)
			}
		})
	}
}
