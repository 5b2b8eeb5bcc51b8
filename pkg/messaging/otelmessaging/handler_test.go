package otelmessaging_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

var errFails = errors.New("fails")

func returns(err error) messaging.Handler {
	return func(_ context.Context, d *messaging.Delivery) error {
		d.ID, d.Attempt, d.Key = "changed", 99, "changed" // the delivery is the handler's
		return err
	}
}

func TestProcessAndSettleSpans(t *testing.T) {
	queue, topic := messaging.Queue("hello"), messaging.Topic("logs")
	onQueue := map[string]any{"messaging.destination.name": "hello", "messaging.rabbitmq.destination.routing_key": "hello"}
	onTopic := func(name string) map[string]any {
		return map[string]any{"messaging.destination.name": name, "messaging.destination.template": "logs",
			"messaging.rabbitmq.destination.routing_key": "app.error"}
	}
	for _, c := range []struct {
		name    string
		src     messaging.Source
		attempt int
		err     error
		settle  string // the operation; "" for none
		class   string // error.type
		want    map[string]any
	}{
		{"done", messaging.Source{Address: queue}, 1, nil, "ack", "", onQueue},
		{"to be tried again", messaging.Source{Address: queue}, 1, errFails, "retry", "_OTHER", onQueue},
		{"the last attempt", messaging.Source{Address: queue}, 5, errFails, "reject", "_OTHER", onQueue},
		{"rejected", messaging.Source{Address: queue}, 1, messaging.Reject(messaging.ErrTooLarge), "reject", "too_large", onQueue},
		{"requeued", messaging.Source{Address: queue}, 1, messaging.Requeue(nil), "nack", "_OTHER", onQueue},
		{"acknowledged before", messaging.Source{Address: queue, AutoAck: true}, 1, nil, "", "", onQueue},
		{"a group of a topic", messaging.Source{Address: topic, Group: "g"}, 1, nil, "ack", "", onTopic("logs:app.error:logs.g")},
		{"a private subscription", messaging.Source{Address: topic}, 1, nil, "ack", "", onTopic("logs:app.error")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rabbitURL)
			d := &messaging.Delivery{From: c.src.Address, Attempt: c.attempt, Message: messaging.Message{ID: "a", CorrelationID: "c"}}
			if c.src.Address.IsTopic() {
				d.Key = "app.error"
			}
			if err := r.Middleware(c.src)(returns(c.err))(t.Context(), d); !errors.Is(err, c.err) {
				t.Errorf("the verdict became %v", err)
			}
			common := map[string]any{"messaging.system": "rabbitmq", "server.address": "rabbit.example.org", "server.port": int64(5672),
				"messaging.message.id": "a", "messaging.message.conversation_id": "c"}
			maps.Copy(common, c.want)

			process := r.span("process " + c.src.Address.Name())
			want := maps.Clone(common)
			maps.Copy(want, map[string]any{"messaging.operation.name": "process", "messaging.operation.type": "process",
				string(otelmessaging.AttemptKey): int64(c.attempt)})
			if c.err != nil {
				want["error.type"] = c.class
			}
			wantAttrs(t, "the process span", process.Attributes, want)
			if process.SpanKind != trace.SpanKindConsumer || (process.Status.Code == codes.Error) != (c.err != nil) {
				t.Errorf("kind %s, status %v", process.SpanKind, process.Status)
			}
			if c.settle == "" {
				if n := len(r.spans.GetSpans()); n != 1 {
					t.Errorf("%d spans, want 1: there is nothing to settle", n)
				}
				return
			}
			settle := r.span(c.settle + " " + c.src.Address.Name())
			maps.Copy(common, map[string]any{"messaging.operation.name": c.settle, "messaging.operation.type": "settle"})
			wantAttrs(t, "the settle span", settle.Attributes, common)
			if settle.SpanKind != trace.SpanKindClient || settle.Parent.SpanID() != process.SpanContext.SpanID() {
				t.Errorf("the settle span is of kind %s and not the process span's child", settle.SpanKind)
			}
		})
	}
}

func TestCutByTheShutdownTimeout(t *testing.T) {
	r := newRig(t, "memory://")
	ctx, cut := context.WithCancel(t.Context())
	src := messaging.Source{Address: messaging.Queue("hello"), Retry: messaging.Retry{MaxAttempts: 1}}
	_ = r.Middleware(src)(func(ctx context.Context, _ *messaging.Delivery) error { cut(); return ctx.Err() })(
		ctx, &messaging.Delivery{From: src.Address, Attempt: 1})
	r.span("nack hello")
}

func TestHandlerThatPanics(t *testing.T) {
	r := newRig(t, "memory://")
	src := messaging.Source{Address: messaging.Queue("hello")}
	h := r.Middleware(src)(func(context.Context, *messaging.Delivery) error { panic("boom") })
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("the panic became %v", p)
			}
		}()
		_ = h(t.Context(), &messaging.Delivery{From: src.Address, Attempt: 1})
	}()
	for _, a := range r.span("process hello").Attributes {
		if a.Key == "error.type" && a.Value.AsString() == "panic" {
			r.span("retry hello")
			return
		}
	}
	t.Error("the process span has no error.type panic")
}

func TestLinksAndParents(t *testing.T) {
	src := messaging.Source{Address: messaging.Queue("hello")}
	for _, c := range []struct {
		name    string
		opts    []otelmessaging.Option
		headers map[string]string
		ambient bool
		remote  bool // the parent is the message's context
		links   int
	}{
		{"nothing", nil, nil, false, false, 0},
		{"link", nil, map[string]string{"traceparent": parent}, false, false, 1},
		{"link in an ambient span", nil, map[string]string{"traceparent": parent}, true, false, 1},
		{"invalid context", nil, map[string]string{"traceparent": "mine"}, true, false, 0},
		{"child", []otelmessaging.Option{otelmessaging.WithParentChild()}, map[string]string{"traceparent": parent}, false, true, 1},
		{"child in an ambient span", []otelmessaging.Option{otelmessaging.WithParentChild()}, map[string]string{"traceparent": parent}, true, true, 2},
		{"child of nothing", []otelmessaging.Option{otelmessaging.WithParentChild()}, nil, true, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "memory://", c.opts...)
			ctx, wantParent := t.Context(), trace.SpanID{}
			if c.ambient {
				var span trace.Span
				ctx, span = r.tracer.Tracer("test").Start(ctx, "ambient")
				defer span.End()
				wantParent = span.SpanContext().SpanID()
			}
			if c.remote {
				wantParent, _ = trace.SpanIDFromHex("00f067aa0ba902b7")
			}
			var inHandler trace.SpanContext
			_ = r.Middleware(src)(func(ctx context.Context, _ *messaging.Delivery) error {
				inHandler = trace.SpanContextFromContext(ctx)
				return nil
			})(ctx, &messaging.Delivery{From: src.Address, Attempt: 1, Message: messaging.Message{Headers: c.headers}})
			span := r.span("process hello")
			if span.Parent.SpanID() != wantParent || len(span.Links) != c.links {
				t.Errorf("parent %s and %d links, want %s and %d", span.Parent.SpanID(), len(span.Links), wantParent, c.links)
			}
			if inHandler.SpanID() != span.SpanContext.SpanID() {
				t.Error("the handler does not run in the process span")
			}
		})
	}
}

// What else a propagator carries reaches the handler, with links too.
func TestBaggage(t *testing.T) {
	both := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	r := newRig(t, "memory://", otelmessaging.WithPropagator(both))
	member, _ := baggage.NewMember("tenant", "7")
	bag, _ := baggage.New(member)
	var got []*messaging.Message
	src := messaging.Source{Address: messaging.Queue("hello")}
	if err := r.Publisher(stored(&got)).Publish(baggage.ContextWithBaggage(t.Context(), bag), src.Address, &messaging.Message{}); err != nil {
		t.Fatal(err)
	}
	_ = r.Middleware(src)(func(ctx context.Context, _ *messaging.Delivery) error {
		if v := baggage.FromContext(ctx).Member("tenant").Value(); v != "7" {
			t.Errorf("the handler has tenant %q, want 7", v)
		}
		return nil
	})(t.Context(), &messaging.Delivery{From: src.Address, Attempt: 1, Message: *got[0]})
}

type typedError struct{}

func (typedError) Error() string     { return "typed" }
func (typedError) ErrorType() string { return "my-type" }

type plainError struct{}

func (*plainError) Error() string { return "plain" }

func TestErrorTypes(t *testing.T) {
	for want, err := range map[string]error{
		"unroutable":                     &messaging.PublishError{Failed: []messaging.MessageError{{Err: messaging.ErrUnroutable}}},
		"blocked":                        fmt.Errorf("%w: %w", messaging.ErrBlocked, context.DeadlineExceeded),
		"closed":                         fmt.Errorf("x: %w", messaging.ErrClosed),
		"timeout":                        messaging.RetryAfter(time.Second, context.DeadlineExceeded),
		"canceled":                       context.Canceled,
		"panic":                          &middleware.PanicError{Value: 1},
		"my-type":                        messaging.Reject(typedError{}),
		"_OTHER":                         messaging.Reject(nil),
		"unconfirmed":                    messaging.ErrUnconfirmed,
		"*otelmessaging_test.plainError": messaging.Reject(fmt.Errorf("x: %w", &plainError{})),
	} {
		r := newRig(t, "memory://")
		src := messaging.Source{Address: messaging.Queue("hello")}
		_ = r.Middleware(src)(returns(err))(t.Context(), &messaging.Delivery{From: src.Address, Attempt: 1})
		got := "none"
		for _, a := range r.span("process hello").Attributes {
			if a.Key == "error.type" {
				got = a.Value.AsString()
			}
		}
		if got != want {
			t.Errorf("%v has error.type %s, want %s", err, got, want)
		}
	}
}
