package otelmessaging

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/pkg/messaging"
)

// AttemptKey is the attribute of process spans that says which attempt it was,
// see Delivery.Attempt. The conventions have none for RabbitMQ.
const AttemptKey = attribute.Key("warren.message.attempt")

// Middleware returns middleware with a process span around each attempt, and a
// settle span after it. from is the source that is subscribed to: it says which
// queue a topic's messages wait in, when an attempt is the last, and whether
// there is anything to settle. Put it outermost: what it wraps runs in its span.
//
// Verdict: the handler's own. Draining: no effect.
func (t *Telemetry) Middleware(from messaging.Source) messaging.Middleware {
	from = from.WithDefaults()
	return func(next messaging.Handler) messaging.Handler {
		if t.off {
			return next
		}
		c := &consumer{telemetry: t, source: from, next: next}
		c.done = attribute.NewSet(c.metricAttrs(destination{address: from.Address})...)
		return c.handle
	}
}

// consumer is the instrumentation of one subscription.
type consumer struct {
	telemetry *Telemetry
	source    messaging.Source
	next      messaging.Handler
	done      attribute.Set // of the metrics of a message from source that did not fail
}

func (c *consumer) handle(ctx context.Context, d *messaging.Delivery) error {
	t, start := c.telemetry, time.Now()
	a := c.attempt(d)
	parent, sent := t.consumerContext(ctx, d.Headers)
	a.link = trace.Link{SpanContext: sent}
	ctx, span := t.tracer.Start(parent, a.dest.spanName("process"), t.processOptions(ctx, &a, start)...)
	if t.consumed.Enabled(ctx) {
		t.consumed.AddSet(ctx, 1, c.metricSet(a.dest, nil))
	}

	err := error(noReturn{}) // of a panic or runtime.Goexit, which go on their way
	defer func() { c.end(ctx, span, &a, start, err) }()
	err = c.next(ctx, d)
	return err
}

// noReturn is the error of a handler that did not return.
type noReturn struct{}

func (noReturn) Error() string {
	return "the handler did not return: it panicked, or ended its goroutine"
}
func (noReturn) ErrorType() string { return errorPanic }

// attempt is what is known of a delivery before the handler, which may change it.
type attempt struct {
	dest          destination
	id, conversed string
	number        int
	link          trace.Link
}

func (c *consumer) attempt(d *messaging.Delivery) attempt {
	a := attempt{dest: destination{address: d.From}, id: d.ID, conversed: d.CorrelationID, number: d.Attempt}
	if d.From.IsTopic() {
		a.dest.key = d.Key
		if c.source.Group != "" {
			a.dest.queue = c.source.Queue().Name()
		}
	}
	return a
}

// consumerContext returns the span context in headers, and the context that a
// process span starts in: the caller's, with what else the propagator knows
// about, such as baggage.
func (t *Telemetry) consumerContext(ctx context.Context, headers map[string]string) (context.Context, trace.SpanContext) {
	if len(headers) == 0 {
		return ctx, trace.SpanContext{}
	}
	ambient := trace.SpanFromContext(ctx)
	if ambient.SpanContext().IsValid() { // or it could not be told from what the headers say
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	ctx = t.propagator.Extract(ctx, propagation.MapCarrier(headers))
	sent := trace.SpanContextFromContext(ctx)
	if t.parentChild && sent.IsValid() {
		return ctx, sent
	}
	return trace.ContextWithSpan(ctx, ambient), sent
}

// processOptions are for a span whose caller's context is ctx.
func (t *Telemetry) processOptions(ctx context.Context, a *attempt, start time.Time) []trace.SpanStartOption {
	attrs := t.spanAttrs(a, semconv.MessagingOperationTypeProcess, "process")
	attrs = append(attrs, AttemptKey.Int(a.number))
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(start), trace.WithAttributes(attrs...)}
	if !a.link.SpanContext.IsValid() {
		return opts
	}
	opts = append(opts, trace.WithLinks(a.link))
	if ambient := trace.SpanContextFromContext(ctx); t.parentChild && ambient.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: ambient}))
	}
	return opts
}

func (t *Telemetry) spanAttrs(a *attempt, kind attribute.KeyValue, operation string) []attribute.KeyValue {
	attrs := a.dest.spanAttrs(t.attrs(kind, operation), t.broker.rabbitmq)
	if a.id != "" {
		attrs = append(attrs, semconv.MessagingMessageID(a.id))
	}
	if a.conversed != "" {
		attrs = append(attrs, semconv.MessagingMessageConversationID(a.conversed))
	}
	return attrs
}

// end ends the process span, and marks what is to become of the message.
func (c *consumer) end(ctx context.Context, span trace.Span, a *attempt, start time.Time, err error) {
	t, now := c.telemetry, time.Now()
	fail(span, err)
	span.End(trace.WithTimestamp(now))

	if t.processing.Enabled(ctx) {
		t.processing.RecordSet(ctx, now.Sub(start).Seconds(), c.metricSet(a.dest, err))
	}
	if c.source.AutoAck {
		return
	}
	operation := c.settlement(ctx, a.number, err)
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(now),
		trace.WithAttributes(t.spanAttrs(a, semconv.MessagingOperationTypeSettle, operation)...)}
	if a.link.SpanContext.IsValid() {
		opts = append(opts, trace.WithLinks(a.link))
	}
	_, settle := t.tracer.Start(ctx, a.dest.spanName(operation), opts...)
	settle.End(trace.WithTimestamp(now))
}

// settlement names what the subscription does with the verdict, in RabbitMQ's
// words where it has one.
func (c *consumer) settlement(ctx context.Context, number int, err error) string {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return "nack" // the shutdown timeout is over: back to the queue
	}
	switch messaging.Decide(err, number, c.source.Retry).Action {
	case messaging.Acknowledge:
		return "ack"
	case messaging.Release:
		return "nack"
	case messaging.DeadLetter:
		return "reject"
	default:
		return "retry"
	}
}

// attrsOf is what a metric of handlers begins with. Their type of operation is
// in their name.
func (t *Telemetry) attrsOf(operation string) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs, t.broker.attrs...)
	return append(attrs, semconv.MessagingOperationName(operation))
}

func (c *consumer) metricSet(dest destination, err error) attribute.Set {
	if err == nil && dest.address == c.source.Address {
		return c.done
	}
	return attribute.NewSet(withError(c.metricAttrs(dest), err)...)
}

func (c *consumer) metricAttrs(dest destination) []attribute.KeyValue {
	attrs := dest.metricAttrs(c.telemetry.attrsOf("process"))
	if c.source.Group != "" {
		attrs = append(attrs, semconv.MessagingConsumerGroupName(c.source.Group))
	}
	return attrs
}
