package otelmessaging_test

import (
	"context"
	"testing"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

// Off costs nothing: what is returned is what was given.
func TestAllocOff(t *testing.T) {
	telemetry, err := otelmessaging.New("memory://",
		otelmessaging.WithTracerProvider(tracenoop.NewTracerProvider()),
		otelmessaging.WithMeterProvider(metricnoop.NewMeterProvider()))
	if err != nil {
		t.Fatal(err)
	}
	p := telemetry.Publisher(publisherFunc(func(messaging.Address, ...*messaging.Message) error { return nil }))
	src := messaging.Source{Address: messaging.Queue("hello")}
	h := telemetry.Middleware(src)(func(context.Context, *messaging.Delivery) error { return nil })
	ctx, msgs := t.Context(), []*messaging.Message{{ID: "a"}}
	d := &messaging.Delivery{From: src.Address, Message: messaging.Message{Headers: map[string]string{"traceparent": parent}}}
	if n := testing.AllocsPerRun(100, func() {
		_ = p.Publish(ctx, src.Address, msgs...)
		_ = h(ctx, d)
	}); n != 0 {
		t.Errorf("telemetry that is off costs %v allocations a message, want 0", n)
	}
}
