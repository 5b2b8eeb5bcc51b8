package otelmessaging_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

// A message on its way through a queue leaves three spans.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	spans := tracetest.NewInMemoryExporter() // in production, an OTLP exporter
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))

	telemetry, err := otelmessaging.New("memory://", otelmessaging.WithTracerProvider(provider), otelmessaging.WithParentChild())
	if err != nil {
		log.Fatal(err)
	}
	broker := memory.New()
	defer broker.Close(context.Background())
	queue := messaging.Queue("hello")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
		log.Fatal(err)
	}
	if err := telemetry.Publisher(broker).Publish(ctx, queue, &messaging.Message{Body: []byte("Hello World!")}); err != nil {
		log.Fatal(err)
	}
	handle := func(context.Context, *messaging.Delivery) error {
		stop()
		return nil
	}
	source := messaging.Source{Address: queue}
	if err := broker.Subscribe(ctx, source, messaging.Chain(handle, telemetry.Middleware(source))); err != nil {
		log.Fatal(err)
	}
	all := spans.GetSpans()
	for _, s := range all {
		fmt.Println(s.Name, s.SpanKind, s.SpanContext.TraceID() == all[0].SpanContext.TraceID())
	}
	// Output:
	// send hello producer true
	// process hello consumer true
	// ack hello client true
}
