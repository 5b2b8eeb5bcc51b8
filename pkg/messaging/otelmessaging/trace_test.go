package otelmessaging_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	_ "github.com/warrenmq/warren/adapters/memory"
	_ "github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

// One trace from the producer through a retry to whoever reads the dead letters.
func TestOneTraceFromProducerToDeadLetter(t *testing.T) {
	for _, adapter := range []string{"memory", "rabbitmq"} {
		t.Run(adapter, func(t *testing.T) {
			url := "memory://"
			if adapter == "rabbitmq" {
				url = rabbitmqtest.URL(t)
			}
			t.Run("links", func(t *testing.T) { testConnected(t, url, false) })
			t.Run("parent and child", func(t *testing.T) { testConnected(t, url, true, otelmessaging.WithParentChild()) })
		})
	}
}

func testConnected(t *testing.T, url string, oneTrace bool, opts ...otelmessaging.Option) {
	r := newRig(t, url, opts...)
	queue := deadLetterOne(t, r, url)
	send := r.span("send " + queue)
	want := []string{"send " + queue, "process " + queue, "retry " + queue, "process " + queue, "reject " + queue,
		"process " + queue + ".dead", "ack " + queue + ".dead"}
	slices.Sort(want)
	if got := r.names(); !slices.Equal(got, want) {
		t.Fatalf("spans %q, want %q", got, want)
	}
	for _, s := range r.spans.GetSpans() {
		switch {
		case s.Name == send.Name:
			continue
		case !linksTo(s, send.SpanContext):
			t.Errorf("%q has no link to the send span", s.Name)
		case oneTrace && s.SpanContext.TraceID() != send.SpanContext.TraceID():
			t.Errorf("%q is in another trace than the send span", s.Name)
		case oneTrace && s.SpanKind == trace.SpanKindConsumer && s.Parent.SpanID() != send.SpanContext.SpanID():
			t.Errorf("%q is no child of the send span", s.Name)
		case !oneTrace && s.SpanKind == trace.SpanKindConsumer && s.Parent.IsValid():
			t.Errorf("%q has a parent", s.Name)
		}
	}
	if sent := countedByQueue(t, r, "messaging.client.sent.messages"); !maps.Equal(sent, map[string]int64{queue: 1}) {
		t.Errorf("sent %v, want one message", sent)
	}
	if consumed := countedByQueue(t, r, "messaging.client.consumed.messages"); !maps.Equal(consumed, map[string]int64{queue: 2, queue + ".dead": 1}) {
		t.Errorf("consumed %v, want two attempts and a dead letter", consumed)
	}
	// What a settle span is about is in the trace of its process span.
	for _, settle := range []string{"retry " + queue, "reject " + queue, "ack " + queue + ".dead"} {
		if !r.span(settle).Parent.IsValid() {
			t.Errorf("%q has no parent", settle)
		}
	}
}

// countedByQueue sums up a counter of messages.
func countedByQueue(t *testing.T, r *rig, metric string) map[string]int64 {
	t.Helper()
	counted := map[string]int64{}
	for _, p := range sums(t, r.metrics()[metric]) {
		queue, _ := p.Attributes.Value("messaging.destination.name")
		counted[queue.AsString()] += p.Value
	}
	return counted
}

// deadLetterOne publishes one message to a handler that fails twice, and reads
// it from the dead letters. It returns the queue's name.
func deadLetterOne(t *testing.T, r *rig, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := messaging.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	name := "otel." + strings.ToLower(messaging.NewID())
	queue, dead := messaging.Queue(name), messaging.Queue(name+".dead")
	for _, q := range []messaging.Address{queue, dead} {
		if err := b.Declare(ctx, messaging.QueueSpec{Name: q.Name()}); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if err := errors.Join(b.Delete(ctx, queue), b.Delete(ctx, dead)); err != nil {
			t.Error(err)
		}
	}()
	if err := r.Publisher(b).Publish(ctx, queue, &messaging.Message{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	subCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	subscribe := func(src messaging.Source, h messaging.Handler) {
		ended <- b.Subscribe(subCtx, src, messaging.Chain(h, r.Middleware(src)))
	}
	fails := errors.New("fails")
	go subscribe(messaging.Source{Address: queue, Retry: messaging.Retry{MaxAttempts: 2, Min: 10 * time.Millisecond, Max: 10 * time.Millisecond}},
		func(context.Context, *messaging.Delivery) error { return fails })
	go subscribe(messaging.Source{Address: dead},
		func(context.Context, *messaging.Delivery) error { stop(); return nil })
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if ctx.Err() != nil {
		t.Fatalf("no dead letter came; spans: %q", r.names())
	}
	return name
}

func linksTo(s tracetest.SpanStub, sc trace.SpanContext) bool {
	for _, l := range s.Links {
		if l.SpanContext.TraceID() == sc.TraceID() && l.SpanContext.SpanID() == sc.SpanID() {
			return true
		}
	}
	return false
}

// The replies of Request go to a queue with a name of its own each: it is in no
// span's name and in no metric.
func TestReplyQueuesAreTemporary(t *testing.T) {
	r := newRig(t, "memory://")
	b, err := messaging.Open(t.Context(), "memory://")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- b.Subscribe(ctx, messaging.Source{Address: messaging.Queue("ask"), Ready: func() { ready <- struct{}{} }},
			messaging.Respond(r.Publisher(b), func(context.Context, *messaging.Delivery) (*messaging.Message, error) { return nil, nil }))
	}()
	<-ready
	if _, err := messaging.Request(ctx, b, messaging.Queue("ask"), &messaging.Message{}); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := errors.Join(<-ended, b.Close(context.Background())); err != nil {
		t.Error(err)
	}
	temporary := false
	for _, a := range r.span("send").Attributes {
		temporary = temporary || a.Key == "messaging.destination.temporary" && a.Value.AsBool()
	}
	if !temporary {
		t.Error("the span of a reply does not say that its destination is temporary")
	}
	for _, p := range sums(t, r.metrics()["messaging.client.sent.messages"]) {
		wantAttrs(t, "sent messages", p.Attributes.ToSlice(), map[string]any{
			"messaging.system": "memory", "messaging.operation.name": "send"})
	}
}
