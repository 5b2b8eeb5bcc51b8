package ratelimit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/handlertest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware/ratelimit"
)

var work = handlertest.Work

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		h := func(context.Context, *messaging.Delivery) error { at = append(at, time.Since(start)); return nil }
		mw := ratelimit.New(rate.NewLimiter(10, 2)) // a second, two of them at once
		handlertest.Serve(t, messaging.Source{}, mw(h), func(b *memory.Broker) {
			handlertest.Publish(t, b, work, make4()...)
			handlertest.Handled(t, b)
		})
		for i, want := range []time.Duration{0, 0, 100 * time.Millisecond, 200 * time.Millisecond} {
			if i >= len(at) || at[i] != want {
				t.Fatalf("handled at %v; message %d should be at %v", at, i, want)
			}
		}
	})
}

func make4() []*messaging.Message {
	return []*messaging.Message{{Type: "slow"}, {Type: "slow"}, {Type: "fast"}, {Type: "slow"}}
}

func TestLimitByType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		slow := rate.NewLimiter(rate.Every(time.Hour), 1)
		fastAt := time.Duration(-1)
		h := func(_ context.Context, d *messaging.Delivery) error {
			if d.Type == "fast" {
				fastAt = time.Since(start)
			}
			return nil
		}
		mw := ratelimit.By(func(d *messaging.Delivery) *rate.Limiter {
			if d.Type == "slow" {
				return slow
			}
			return nil
		})
		handlertest.Serve(t, messaging.Source{Concurrency: 3}, mw(h), func(b *memory.Broker) {
			handlertest.Publish(t, b, work, make4()...)
			handlertest.Handled(t, b)
		})
		if fastAt != 0 || time.Since(start) != 2*time.Hour {
			t.Errorf("the fast one was handled after %v and all after %v, want 0 and 2h", fastAt, time.Since(start))
		}
	})
}

// What waits when the subscription is cut goes back to its queue as new.
func TestDrainingWhileMessagesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		handled := 0
		mw := ratelimit.New(rate.NewLimiter(rate.Every(time.Minute), 1))
		src := messaging.Source{Address: work, ShutdownTimeout: 5 * time.Second}
		go func() {
			ended <- b.Subscribe(ctx, src, mw(func(context.Context, *messaging.Delivery) error { handled++; return nil }))
		}()
		synctest.Wait()
		handlertest.Publish(t, b, work, &messaging.Message{ID: "a"}, &messaging.Message{ID: "b"})
		synctest.Wait()
		stop()
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Subscribe returned %v, want that it cut one", err)
		}
		p, err := messaging.Get(t.Context(), b, src)
		if err != nil {
			t.Fatal(err)
		}
		if handled != 1 || p.ID != "b" || p.Attempt != 1 {
			t.Errorf("%d handled, and %q at attempt %d is in the queue; want 1, and b at 1", handled, p.ID, p.Attempt)
		}
		_ = p.Settle(nil)
		_ = b.Close(context.Background())
	})
}

func TestVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		handler := func(context.Context, *messaging.Delivery) error { return boom }
		if err := ratelimit.New(rate.NewLimiter(1, 1))(handler)(t.Context(), &messaging.Delivery{}); !errors.Is(err, boom) {
			t.Errorf("the handler's error became %v", err)
		}
		for name, limiter := range map[string]*rate.Limiter{
			"a turn that comes too late": drained(),
			"a burst of 0":               rate.NewLimiter(1, 0),
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			start := time.Now()
			wantRequeue(t, name, ratelimit.New(limiter)(handler)(ctx, &messaging.Delivery{}))
			if took := time.Since(start); took < time.Second {
				t.Errorf("%s: back after %v, which makes a busy loop", name, took)
			}
			cancel()
			wantRequeue(t, name+", and a context that has ended", ratelimit.New(limiter)(handler)(ctx, &messaging.Delivery{}))
		}
	})
}

func wantRequeue(t *testing.T, what string, err error) {
	t.Helper()
	if messaging.Decide(err, 1, messaging.Retry{}).Action != messaging.Release {
		t.Errorf("%s: %v, want a Requeue", what, err)
	}
}

// A message that is cut gives its turn to the next.
func TestTurnIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := ratelimit.New(drained())(func(context.Context, *messaging.Delivery) error { return nil })
		cut, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wantRequeue(t, "cut", h(cut, &messaging.Delivery{}))
		start := time.Now()
		if err := h(t.Context(), &messaging.Delivery{}); err != nil || time.Since(start) > time.Hour {
			t.Errorf("the next waited %v (%v), want the rest of the hour", time.Since(start), err)
		}
	})
}

func drained() *rate.Limiter {
	l := rate.NewLimiter(rate.Every(time.Hour), 1)
	l.Allow()
	return l
}
