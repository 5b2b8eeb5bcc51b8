package otelmessaging_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

// Metrics only, and baggage in the headers beside the trace context.
func ExampleNew() {
	ctx := context.Background()
	reader := metric.NewManualReader() // in production, a PeriodicReader or the Prometheus exporter
	telemetry, err := otelmessaging.New("memory://",
		otelmessaging.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))),
		otelmessaging.WithTracerProvider(noop.NewTracerProvider()),
		otelmessaging.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})))
	if err != nil {
		log.Fatal(err)
	}
	broker := memory.New()
	defer broker.Close(ctx)
	queue := messaging.Queue("hello")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
		log.Fatal(err)
	}
	if err := telemetry.Publisher(broker).Publish(ctx, queue, &messaging.Message{}, &messaging.Message{}); err != nil {
		log.Fatal(err)
	}
	var seen metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &seen); err != nil {
		log.Fatal(err)
	}
	for _, m := range seen.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	// Output: messaging.client.sent.messages 2
}
