package watermill_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/delay"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/pkg/messaging"
)

var q = messaging.Queue("q")

func over(f *fakePubSub, opts ...watermill.BrokerOption) *watermill.Broker {
	return watermill.NewBroker(f, f, append(opts, watermill.WithLogger(quiet))...)
}

func mustClose(t *testing.T, b messaging.Broker) {
	t.Helper()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestPublishNamesFailed is rule P3.
func TestPublishNamesFailed(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	f := newFake()
	f.publish = func(_ string, m *message.Message) error {
		if string(m.Payload) == "bad" {
			return no
		}
		return nil
	}
	b := over(f)
	defer mustClose(t, b)
	err := b.Publish(t.Context(), q, &messaging.Message{Body: []byte("a")}, &messaging.Message{Body: []byte("bad")},
		&messaging.Message{Body: []byte("b"), Delay: time.Second})
	var failure *messaging.PublishError
	if !errors.As(err, &failure) || len(failure.Failed) != 2 || failure.Failed[0].Index != 1 || failure.Failed[1].Index != 2 {
		t.Fatalf("got %v, not a *PublishError for messages 1 and 2", err)
	}
	if first := failure.Failed[0].Err; !errors.Is(first, no) || !errors.Is(first, messaging.ErrUnconfirmed) {
		t.Errorf("message 1: %v", first)
	}
	if second := failure.Failed[1].Err; !errors.Is(second, errors.ErrUnsupported) {
		t.Errorf("a Delay that nobody heeds: %v", second)
	}
	if h := b.Health(); !errors.Is(h.LastError, no) {
		t.Errorf("Health: %s", h)
	}
}

// TestPublishReturns is rule P5, and S5: a Publisher that hangs holds up
// neither Publish nor Close.
func TestPublishReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := newFake()
		f.publish = func(string, *message.Message) error { <-release; return nil }
		b := over(f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := b.Publish(ctx, q, &messaging.Message{}, &messaging.Message{})
		if !errors.Is(err, messaging.ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 1050*time.Millisecond {
			t.Errorf("returned after %s", took)
		}

		result := make(chan error)
		go func() { result <- b.Publish(context.Background(), q, &messaging.Message{}) }()
		synctest.Wait()
		mustClose(t, b)
		if err := <-result; !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("Close ended a Publish that was waiting with %v", err)
		}
		close(release)
	})
}

// TestTTL is the half of rule C14 that needs no delay.
func TestTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := over(newFake())
		defer mustClose(t, b)
		if err := b.Publish(t.Context(), q, &messaging.Message{TTL: time.Second, Body: []byte("stale")},
			&messaging.Message{TTL: time.Hour, Body: []byte("fresh")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // of the bubble's time
		p, err := b.Get(t.Context(), messaging.Source{Address: q})
		if err != nil || string(p.Body) != "fresh" || p.TTL != time.Hour {
			t.Fatalf("got %q with TTL %s, %v", p.Body, p.TTL, err)
		}
		if err := p.Settle(nil); err != nil {
			t.Error(err)
		}
	})
}

// TestDelays: a Pub/Sub that heeds delays is told of them, and holds nothing.
func TestDelays(t *testing.T) {
	t.Parallel()
	waits := make(chan string, 2)
	f := newFake()
	f.publish = func(_ string, m *message.Message) error {
		waits <- m.Metadata[delay.DelayedForKey]
		f.queue <- m.Copy()
		return nil
	}
	b := over(f, watermill.WithDelays())
	defer mustClose(t, b)
	if err := b.Publish(t.Context(), q, &messaging.Message{Delay: time.Minute}); err != nil {
		t.Fatal(err)
	}
	p, err := b.Get(t.Context(), messaging.Source{Address: q})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Headers) != 0 {
		t.Errorf("the delay shows as headers: %v", p.Headers)
	}
	if err := p.Settle(messaging.RetryAfter(time.Hour, nil)); err != nil {
		t.Error(err)
	}
	if first, second := <-waits, <-waits; first != "1m0s" || second != "1h0m0s" {
		t.Errorf("noted %q for the message and %q for its retry", first, second)
	}
}

// TestHeldRetry: what waits for its retry when the Broker closes goes back.
func TestHeldRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		b := over(f)
		if err := b.Publish(t.Context(), q, &messaging.Message{Body: []byte("m")}); err != nil {
			t.Fatal(err)
		}
		p, err := b.Get(t.Context(), messaging.Source{Address: q})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Settle(messaging.RetryAfter(time.Hour, nil)); err != nil {
			t.Error(err)
		}
		start := time.Now()
		mustClose(t, b)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("Close took %s", took)
		}
		if n := len(f.queue); n != 1 {
			t.Errorf("%d messages are in the queue", n)
		}
	})
}

// TestResumes: a Watermill channel that closes is opened again.
func TestResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		b := over(f)
		defer mustClose(t, b)
		ready, got := make(chan struct{}, 10), make(chan string, 10)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- b.Subscribe(ctx, messaging.Source{Address: q, Ready: func() { ready <- struct{}{} }},
				func(_ context.Context, d *messaging.Delivery) error { got <- string(d.Body); return nil })
		}()
		<-ready
		f.mu.Lock()
		f.refuse = 3
		f.end()
		f.mu.Unlock()
		<-ready
		if h := b.Health(); h.LastError == nil || h.Subscriptions != 1 {
			t.Errorf("Health: %s", h)
		}
		if err := b.Publish(ctx, q, &messaging.Message{Body: []byte("m")}); err != nil {
			t.Fatal(err)
		}
		<-got
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestSubscribeRefused(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.refuse = 1
	b := over(f)
	defer mustClose(t, b)
	h := func(context.Context, *messaging.Delivery) error { return nil }
	if err := b.Subscribe(t.Context(), messaging.Source{Address: q}, h); err == nil {
		t.Error("the Watermill Subscriber refused, and Subscribe returned nil")
	}
	for _, src := range []messaging.Source{
		{Address: messaging.Topic("t")},
		{Address: messaging.Topic("t"), Group: "g"},
	} {
		if err := b.Subscribe(t.Context(), src, h); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: %v", src, err)
		}
	}
}

// TestManage: what nobody can do says so, and who could.
func TestManage(t *testing.T) {
	t.Parallel()
	f := newFake()
	b := over(f)
	_, inspectErr := b.Inspect(t.Context(), q)
	_, purgeErr := b.Purge(t.Context(), q)
	for name, err := range map[string]error{
		"Declare": b.Declare(t.Context(), messaging.QueueSpec{Name: "q", MaxLength: 1}),
		"Bind":    b.Bind(t.Context(), messaging.Source{Address: messaging.Topic("t"), Group: "g"}),
		"Delete":  b.Delete(t.Context(), q),
		"Inspect": inspectErr,
		"Purge":   purgeErr,
		"Publish": b.Publish(t.Context(), messaging.Topic("t"), &messaging.Message{}),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: "q"}); err != nil {
		t.Errorf("Declare of a queue without properties: %v", err)
	}
	mustClose(t, b)
	mustClose(t, b)
	if f.closed != 2 { // once as the Publisher, once as the Subscriber
		t.Errorf("Publisher and Subscriber were closed %d times", f.closed)
	}
}
