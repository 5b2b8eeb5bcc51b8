package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/handlertest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package
)

var (
	work    = handlertest.Work
	discard = slog.New(slog.NewTextHandler(io.Discard, nil))
	errBoom = errors.New("boom")
)

func TestRecover(t *testing.T) {
	for _, value := range []any{"boom", errBoom, messaging.Reject(errBoom)} {
		var log bytes.Buffer
		h := middleware.Recover(slog.New(slog.NewTextHandler(&log, nil)))(func(context.Context, *messaging.Delivery) error { panic(value) })
		err := h(t.Context(), &messaging.Delivery{Message: messaging.Message{ID: "m-1"}, Attempt: 1})
		var caught *middleware.PanicError
		if !errors.As(err, &caught) || caught.Value != value || !strings.Contains(string(caught.Stack), "TestRecover") {
			t.Errorf("panic(%v) became %v, want a PanicError with value and stack", value, err)
		}
		if a := messaging.Decide(err, 1, messaging.Retry{MaxAttempts: 5}).Action; a != messaging.Again {
			t.Errorf("panic(%v) is the verdict %s, want again, as without Recover", value, a)
		}
		for _, want := range []string{"m-1", "boom", "TestRecover"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log of panic(%v) lacks %q:\n%s", value, want, log.String())
			}
		}
	}
}

func TestRecoverLeavesOtherVerdictsAlone(t *testing.T) {
	for _, want := range []error{nil, errBoom, messaging.Reject(errBoom)} {
		h := middleware.Recover(discard)(func(context.Context, *messaging.Delivery) error { return want })
		if got := h(t.Context(), &messaging.Delivery{}); !errors.Is(got, want) {
			t.Errorf("%v became %v", want, got)
		}
	}
}

func TestTimeoutFailsWhatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []int
		slow := func(ctx context.Context, d *messaging.Delivery) error {
			attempts = append(attempts, d.Attempt)
			start := time.Now()
			<-ctx.Done()
			if took := time.Since(start); took != time.Minute {
				t.Errorf("the context ended after %v, want 1m", took)
			}
			return ctx.Err()
		}
		src := messaging.Source{Retry: messaging.Retry{MaxAttempts: 3}}
		handlertest.Serve(t, src, middleware.Timeout(time.Minute)(slow), func(b *memory.Broker) {
			handlertest.Publish(t, b, work, &messaging.Message{})
			handlertest.Handled(t, b)
			dead := b.DeadLetters(work)
			if len(attempts) != 3 || len(dead) != 1 {
				t.Fatalf("%d attempts, %d dead letters; want 3 and 1", len(attempts), len(dead))
			}
			if why := dead[0].Headers[messaging.HeaderDeadError]; !strings.Contains(why, "time limit of 1m0s") {
				t.Errorf("the dead letter says %q, want the time limit", why)
			}
		})
	})
}

func TestTimeoutLeavesTheVerdictAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []error{nil, errBoom, messaging.Reject(errBoom), context.DeadlineExceeded} {
			h := middleware.Timeout(time.Second)(func(context.Context, *messaging.Delivery) error { return want })
			if got := h(t.Context(), &messaging.Delivery{}); !errors.Is(got, want) {
				t.Errorf("in time: %v became %v", want, got)
			}
			h = middleware.Timeout(time.Second)(func(context.Context, *messaging.Delivery) error {
				time.Sleep(2 * time.Second)
				return want
			})
			if got := h(t.Context(), &messaging.Delivery{}); !errors.Is(got, want) {
				t.Errorf("too late, but not because of it: %v became %v", want, got)
			}
		}
	})
}

func TestTimeoutOfZeroIsNone(t *testing.T) {
	h := middleware.Timeout(0)(func(ctx context.Context, _ *messaging.Delivery) error {
		if _, limited := ctx.Deadline(); limited {
			t.Error("a timeout of 0 set a deadline")
		}
		return nil
	})
	_ = h(t.Context(), &messaging.Delivery{})
}

func TestLog(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx            context.Context
		err            error
		level, verdict string
	}{
		{t.Context(), nil, "INFO", "acknowledge"},
		{t.Context(), errBoom, "WARN", "again"},
		{t.Context(), messaging.RetryAfter(time.Second, errBoom), "WARN", "again"},
		{t.Context(), messaging.Requeue(errBoom), "WARN", "release"},
		{t.Context(), messaging.Reject(errBoom), "WARN", "dead-letter"},
		{canceled, errBoom, "WARN", "release"},
		{canceled, nil, "INFO", "acknowledge"},
	} {
		var out bytes.Buffer
		h := middleware.Log(slog.New(slog.NewJSONHandler(&out, nil)))(func(_ context.Context, d *messaging.Delivery) error {
			d.ID = "changed"
			return c.err
		})
		d := &messaging.Delivery{Message: messaging.Message{ID: "m-1", Type: "order"}, From: work, Attempt: 2, Redelivered: true}
		if got := h(c.ctx, d); !errors.Is(got, c.err) {
			t.Errorf("%v became %v", c.err, got)
		}
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v in %q", err, out.String())
		}
		want := map[string]any{"level": c.level, "verdict": c.verdict, "id": "m-1", "type": "order",
			"from": "queue:work", "attempt": 2.0, "redelivered": true}
		if c.err != nil {
			want["error"] = "boom"
		}
		for key, value := range want {
			if line[key] != value {
				t.Errorf("verdict %v: the line has %s=%v, want %v", c.err, key, line[key], value)
			}
		}
	}
}

func TestAllocLogSwitchedOff(t *testing.T) {
	off := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
	h := middleware.Log(off)(func(context.Context, *messaging.Delivery) error { return nil })
	d, ctx := &messaging.Delivery{Message: messaging.Message{ID: "m-1"}}, t.Context()
	if n := testing.AllocsPerRun(100, func() { _ = h(ctx, d) }); n != 0 {
		t.Errorf("a line that is not written costs %v allocations, want 0", n)
	}
}
