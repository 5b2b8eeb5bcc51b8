package otelmessaging_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

func TestSendSpan(t *testing.T) {
	host := map[string]any{"messaging.system": "rabbitmq", "server.address": "rabbit.example.org", "server.port": int64(5672),
		"messaging.operation.name": "send", "messaging.operation.type": "send"}
	for _, c := range []struct {
		name string
		to   messaging.Address
		msgs []*messaging.Message
		span string
		want map[string]any
	}{
		{"one to a queue", messaging.Queue("hello"), []*messaging.Message{{ID: "a", CorrelationID: "c", Key: "unused"}}, "send hello",
			map[string]any{"messaging.destination.name": "hello", "messaging.rabbitmq.destination.routing_key": "hello",
				"messaging.message.id": "a", "messaging.message.conversation_id": "c"}},
		{"one to a topic", messaging.Topic("logs"), []*messaging.Message{{ID: "a", Key: "app.error"}}, "send logs",
			map[string]any{"messaging.destination.name": "logs:app.error", "messaging.destination.template": "logs",
				"messaging.rabbitmq.destination.routing_key": "app.error", "messaging.message.id": "a"}},
		{"a batch of one key", messaging.Topic("logs"), []*messaging.Message{{Key: "k"}, {Key: "k"}}, "send logs",
			map[string]any{"messaging.destination.name": "logs:k", "messaging.destination.template": "logs",
				"messaging.rabbitmq.destination.routing_key": "k", "messaging.batch.message_count": int64(2)}},
		{"a batch of several keys", messaging.Topic("logs"), []*messaging.Message{{Key: "k"}, {Key: "l"}, {}}, "send logs",
			map[string]any{"messaging.destination.name": "logs", "messaging.destination.template": "logs",
				"messaging.batch.message_count": int64(3)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rabbitURL)
			var got []*messaging.Message
			if err := r.Publisher(stored(&got)).Publish(t.Context(), c.to, c.msgs...); err != nil {
				t.Fatal(err)
			}
			span := r.span(c.span)
			maps.Copy(c.want, host)
			wantAttrs(t, "the span", span.Attributes, c.want)
			if span.SpanKind != trace.SpanKindProducer || span.Status.Code != codes.Unset {
				t.Errorf("kind %s, status %v; want producer and unset", span.SpanKind, span.Status)
			}
			if span.InstrumentationScope.SchemaURL != otelmessaging.SchemaURL || otelmessaging.SchemaURL == "" {
				t.Errorf("schema URL %q", span.InstrumentationScope.SchemaURL)
			}
			traceparent := fmt.Sprintf("00-%s-%s-01", span.SpanContext.TraceID(), span.SpanContext.SpanID())
			for i, m := range got {
				if m.Headers["traceparent"] != traceparent {
					t.Errorf("message %d has traceparent %q, want %q", i, m.Headers["traceparent"], traceparent)
				}
			}
		})
	}
}

// The caller's messages get ID and Time, and nothing else; headers may be
// shared between messages.
func TestPublishLeavesTheCallersHeadersAlone(t *testing.T) {
	r := newRig(t, "memory://")
	shared := map[string]string{"tenant": "7"}
	one, two := &messaging.Message{Headers: shared}, &messaging.Message{Headers: shared}
	var got []*messaging.Message
	if err := r.Publisher(stored(&got)).Publish(t.Context(), messaging.Queue("hello"), one, two); err != nil {
		t.Fatal(err)
	}
	if len(shared) != 1 || len(got[0].Headers) != 2 || got[1].Headers["tenant"] != "7" {
		t.Errorf("the caller's headers are %v, those sent %v", shared, got[0].Headers)
	}
	for i, m := range []*messaging.Message{one, two} {
		if m.ID != got[i].ID || m.ID == "" || !m.Time.Equal(got[i].Time) || m.Time.IsZero() {
			t.Errorf("message %d: the caller has ID %q and Time %s, sent were %q and %s", i, m.ID, m.Time, got[i].ID, got[i].Time)
		}
	}
}

func TestOwnTraceContextIsLeftAlone(t *testing.T) {
	const own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, c := range []struct {
		name  string
		msgs  []*messaging.Message
		kind  trace.SpanKind
		links int
	}{
		{"one", []*messaging.Message{{Headers: map[string]string{"traceparent": own}}}, trace.SpanKindClient, 1},
		{"one of two", []*messaging.Message{{}, {Headers: map[string]string{"traceparent": own}}}, trace.SpanKindProducer, 1},
		{"not a valid one", []*messaging.Message{{Headers: map[string]string{"traceparent": "mine"}}}, trace.SpanKindClient, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "memory://")
			var got []*messaging.Message
			if err := r.Publisher(stored(&got)).Publish(t.Context(), messaging.Queue("hello"), c.msgs...); err != nil {
				t.Fatal(err)
			}
			for i, m := range got {
				was, sent := c.msgs[i].Headers["traceparent"], m.Headers["traceparent"]
				if was != "" && sent != was {
					t.Errorf("message %d: traceparent %q became %q", i, was, sent)
				}
				if was == "" && sent == "" {
					t.Errorf("message %d has no trace context", i)
				}
			}
			span := r.span("send hello")
			if span.SpanKind != c.kind || len(span.Links) != c.links {
				t.Errorf("kind %s and %d links, want %s and %d", span.SpanKind, len(span.Links), c.kind, c.links)
			}
			if c.links > 0 && span.Links[0].SpanContext.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
				t.Errorf("linked to %s", span.Links[0].SpanContext.TraceID())
			}
		})
	}
}

func TestSendThatFails(t *testing.T) {
	r := newRig(t, "memory://")
	fail := &messaging.PublishError{To: messaging.Queue("hello"), Failed: []messaging.MessageError{
		{Index: 0, Err: messaging.ErrUnconfirmed}, {Index: 2, Err: fmt.Errorf("full: %w", messaging.ErrRejected)}}}
	p := r.Publisher(publisherFunc(func(messaging.Address, ...*messaging.Message) error { return fail }))
	err := p.Publish(t.Context(), messaging.Queue("hello"), &messaging.Message{}, &messaging.Message{}, &messaging.Message{})
	if got := (*messaging.PublishError)(nil); !errors.As(err, &got) || got != fail {
		t.Errorf("the error became %v", err)
	}
	span := r.span("send hello")
	if span.Status.Code != codes.Error || span.Status.Description != fail.Error() {
		t.Errorf("status %v", span.Status)
	}
	byError := map[string]int64{}
	for _, p := range sums(t, r.metrics()["messaging.client.sent.messages"]) {
		v, _ := p.Attributes.Value("error.type")
		byError[v.AsString()] = p.Value
	}
	if want := map[string]int64{"": 1, "unconfirmed": 1, "rejected": 1}; !maps.Equal(byError, want) {
		t.Errorf("sent messages by error.type: %v, want %v", byError, want)
	}
}

func TestBadInputIsTheAdaptersToRefuse(t *testing.T) {
	r := newRig(t, "memory://")
	refused := errors.New("refused")
	calls := 0
	p := r.Publisher(publisherFunc(func(messaging.Address, ...*messaging.Message) error { calls++; return refused }))
	for _, msgs := range [][]*messaging.Message{{}, {nil}, {{}, nil}} {
		if err := p.Publish(context.Background(), messaging.Queue("hello"), msgs...); !errors.Is(err, refused) {
			t.Errorf("%d messages: %v", len(msgs), err)
		}
	}
	if calls != 3 {
		t.Errorf("the adapter was asked %d times, want 3", calls)
	}
}
