package otelmessaging

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/pkg/messaging"
)

type publisher struct {
	telemetry *Telemetry
	next      messaging.Publisher
}

// Publish implements [messaging.Publisher].
func (p *publisher) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	if len(msgs) == 0 || slices.Contains(msgs, nil) { // nothing is sent, and the error is the adapter's
		return p.next.Publish(ctx, to, msgs...)
	}
	t, dest, start := p.telemetry, destinationOf(to, msgs), time.Now()
	links, own := t.ownContexts(msgs)
	kind := trace.SpanKindProducer
	if own == len(msgs) {
		kind = trace.SpanKindClient
	}
	ctx, span := t.tracer.Start(ctx, dest.spanName("send"), trace.WithSpanKind(kind), trace.WithTimestamp(start),
		trace.WithLinks(links...), trace.WithAttributes(t.sendAttrs(dest, msgs)...))

	sent := t.inject(ctx, msgs)
	err := p.next.Publish(ctx, to, sent...)
	for i, m := range sent {
		msgs[i].ID, msgs[i].Time = m.ID, m.Time
	}

	end := time.Now()
	if len(msgs) == 1 && msgs[0].ID != "" { // which Publish may have filled in
		span.SetAttributes(semconv.MessagingMessageID(msgs[0].ID))
	}
	fail(span, err)
	span.End(trace.WithTimestamp(end))
	t.recordSend(ctx, dest, len(msgs), end.Sub(start), err)
	return err
}

// destinationOf names the routing key where all messages have the same one.
func destinationOf(to messaging.Address, msgs []*messaging.Message) destination {
	d := destination{address: to}
	if !to.IsTopic() {
		return d
	}
	for _, m := range msgs[1:] {
		if m.Key != msgs[0].Key {
			return d
		}
	}
	d.key = msgs[0].Key
	return d
}

func (t *Telemetry) sendAttrs(dest destination, msgs []*messaging.Message) []attribute.KeyValue {
	attrs := t.attrs(semconv.MessagingOperationTypeSend, "send")
	attrs = dest.spanAttrs(attrs, t.broker.rabbitmq)
	if len(msgs) > 1 {
		return append(attrs, semconv.MessagingBatchMessageCount(len(msgs)))
	}
	if id := msgs[0].CorrelationID; id != "" {
		attrs = append(attrs, semconv.MessagingMessageConversationID(id))
	}
	return attrs
}

// attrs is what every span and metric of an operation begins with.
func (t *Telemetry) attrs(kind attribute.KeyValue, operation string) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 12)
	attrs = append(attrs, t.broker.attrs...)
	return append(attrs, kind, semconv.MessagingOperationName(operation))
}

// ownContexts returns links to the trace contexts that the application itself
// put into messages, and how many messages have one.
func (t *Telemetry) ownContexts(msgs []*messaging.Message) (links []trace.Link, own int) {
	for _, m := range msgs {
		if !t.hasOwn(m) {
			continue
		}
		own++
		if sc := t.contextIn(m.Headers); sc.IsValid() {
			links = append(links, trace.Link{SpanContext: sc})
		}
	}
	return links, own
}

// hasOwn says whether m has any header that the propagator would write.
func (t *Telemetry) hasOwn(m *messaging.Message) bool {
	if len(m.Headers) == 0 {
		return false
	}
	for _, field := range t.propagator.Fields() {
		if _, has := m.Headers[field]; has {
			return true
		}
	}
	return false
}

// contextIn is the span context in the headers of a message.
func (t *Telemetry) contextIn(headers map[string]string) trace.SpanContext {
	if len(headers) == 0 {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(t.propagator.Extract(context.Background(), propagation.MapCarrier(headers)))
}

// inject returns msgs with the context of ctx in their headers, as copies: the
// caller's headers may be shared with other messages, and stay as they are.
func (t *Telemetry) inject(ctx context.Context, msgs []*messaging.Message) []*messaging.Message {
	fields := propagation.MapCarrier{}
	t.propagator.Inject(ctx, fields)
	if len(fields) == 0 {
		return msgs
	}
	sent, copies := make([]*messaging.Message, len(msgs)), make([]messaging.Message, len(msgs))
	for i, m := range msgs {
		sent[i] = m
		if t.hasOwn(m) {
			continue
		}
		copies[i] = *m
		copies[i].Headers = make(map[string]string, len(m.Headers)+len(fields))
		maps.Copy(copies[i].Headers, m.Headers)
		maps.Copy(copies[i].Headers, fields)
		sent[i] = &copies[i]
	}
	return sent
}

func (t *Telemetry) recordSend(ctx context.Context, dest destination, messages int, took time.Duration, err error) {
	if t.operations.Enabled(ctx) {
		attrs := dest.metricAttrs(t.attrs(semconv.MessagingOperationTypeSend, "send"))
		t.operations.RecordSet(ctx, took.Seconds(), attribute.NewSet(withError(attrs, err)...))
	}
	if !t.sent.Enabled(ctx) {
		return
	}
	attrs := dest.metricAttrs(t.attrsOf("send"))
	for class, n := range failures(err, messages) {
		t.sent.AddSet(ctx, int64(n), attribute.NewSet(append(slices.Clip(attrs), class)...))
		messages -= n
	}
	if messages > 0 {
		t.sent.AddSet(ctx, int64(messages), attribute.NewSet(attrs...))
	}
}

// failures counts the messages that failed by the class of their error.
func failures(err error, messages int) map[attribute.KeyValue]int {
	if err == nil {
		return nil
	}
	failed := map[attribute.KeyValue]int{}
	var partly *messaging.PublishError
	if !errors.As(err, &partly) {
		failed[errorType(err)] = messages
		return failed
	}
	for _, f := range partly.Failed {
		failed[errorType(f.Err)]++
	}
	return failed
}

// fail says in span that its operation failed, if it did.
func fail(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(errorType(err))
	}
}

func withError(attrs []attribute.KeyValue, err error) []attribute.KeyValue {
	if err == nil {
		return attrs
	}
	return append(slices.Clip(attrs), errorType(err))
}
