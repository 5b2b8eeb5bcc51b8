package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

func TestDecide(t *testing.T) {
	boom := errors.New("boom")
	retry := messaging.Retry{MaxAttempts: 3, Min: time.Second, Max: time.Second}
	forever := messaging.Retry{MaxAttempts: -1, Min: time.Second, Max: time.Second}
	for name, c := range map[string]struct {
		err     error
		attempt int
		retry   messaging.Retry
		want    messaging.Decision
	}{
		"nil":                  {nil, 1, retry, messaging.Decision{Action: messaging.Acknowledge}},
		"nil at the last":      {nil, 3, retry, messaging.Decision{Action: messaging.Acknowledge}},
		"error":                {boom, 1, retry, messaging.Decision{Action: messaging.Again, Wait: time.Second}},
		"error, one left":      {boom, 2, retry, messaging.Decision{Action: messaging.Again, Wait: time.Second}},
		"error at the last":    {boom, 3, retry, messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonAttempts}},
		"error past the last":  {boom, 9, retry, messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonAttempts}},
		"error for ever":       {boom, math.MaxInt, forever, messaging.Decision{Action: messaging.Again, Wait: time.Second}},
		"reject":               {messaging.Reject(boom), 1, retry, messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonRejected}},
		"reject nil":           {messaging.Reject(nil), 1, retry, messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonRejected}},
		"reject, wrapped":      {fmt.Errorf("w: %w", messaging.Reject(boom)), 1, retry, messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonRejected}},
		"retry after":          {messaging.RetryAfter(time.Minute, boom), 1, retry, messaging.Decision{Action: messaging.Again, Wait: time.Minute}},
		"retry after 0":        {messaging.RetryAfter(0, boom), 1, retry, messaging.Decision{Action: messaging.Again}},
		"retry after negative": {messaging.RetryAfter(-1, boom), 1, retry, messaging.Decision{Action: messaging.Again}},
		"retry after years":    {messaging.RetryAfter(math.MaxInt64, boom), 1, retry, messaging.Decision{Action: messaging.Again, Wait: messaging.MaxDelay}},
		"retry at the last":    {messaging.RetryAfter(time.Minute, boom), 3, retry, messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonAttempts}},
		"requeue":              {messaging.Requeue(boom), 1, retry, messaging.Decision{Action: messaging.Release}},
		"requeue at the last":  {messaging.Requeue(boom), 3, retry, messaging.Decision{Action: messaging.Release}},
		"outermost counts":     {messaging.Requeue(messaging.Reject(boom)), 1, retry, messaging.Decision{Action: messaging.Release}},
	} {
		got := messaging.Decide(c.err, c.attempt, c.retry)
		c.want.Err = c.err
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestVerdictsKeepTheirReason(t *testing.T) {
	boom := errors.New("boom")
	for _, v := range []error{messaging.Reject(boom), messaging.RetryAfter(time.Second, boom), messaging.Requeue(boom)} {
		if !errors.Is(v, boom) || v.Error() != "boom" {
			t.Errorf("%v does not wrap its reason", v)
		}
	}
	for want, v := range map[string]error{
		"rejected": messaging.Reject(nil), "retry after 1s": messaging.RetryAfter(time.Second, nil), "requeued": messaging.Requeue(nil),
	} {
		if v.Error() != want {
			t.Errorf("without a reason: %q, want %q", v, want)
		}
	}
}

func TestChainOrder(t *testing.T) {
	var trace string
	mark := func(name string) messaging.Middleware {
		return func(next messaging.Handler) messaging.Handler {
			return func(ctx context.Context, d *messaging.Delivery) error {
				trace += name + "("
				err := next(ctx, d)
				trace += ")"
				return err
			}
		}
	}
	h := messaging.Chain(func(context.Context, *messaging.Delivery) error { trace += "h"; return nil }, mark("a"), mark("b"))
	if err := h(t.Context(), &messaging.Delivery{}); err != nil || trace != "a(b(h))" {
		t.Errorf("%s, %v", trace, err)
	}
}

func TestHandleJSON(t *testing.T) {
	type order struct{ Number int }
	var got order
	h := messaging.HandleJSON(func(_ context.Context, v order, _ *messaging.Delivery) error { got = v; return nil })
	m, err := messaging.JSON(order{7})
	if err != nil || m.ContentType != "application/json" {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := h(t.Context(), &messaging.Delivery{Message: *m}); err != nil || got.Number != 7 {
		t.Errorf("%+v, %v", got, err)
	}
	err = h(t.Context(), &messaging.Delivery{Message: messaging.Message{Body: []byte("{")}})
	if d := messaging.Decide(err, 1, messaging.Retry{MaxAttempts: 5}); d.Action != messaging.DeadLetter {
		t.Errorf("what is no JSON is decided as %+v", d)
	}
	if _, err := messaging.JSON(func() {}); err == nil {
		t.Error("a function was encoded")
	}
}

// nilError is an error whose nil pointer panics when it is asked for its text.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestDeadLetterHeadersOfAnErrorThatPanics(t *testing.T) {
	var err *nilError
	headers := messaging.DeadLetterHeaders(messaging.Queue("q"), 1, messaging.Decision{Action: messaging.DeadLetter, Err: err})
	if text := headers[messaging.HeaderDeadError]; !strings.Contains(text, "cannot be had") {
		t.Errorf("the error's text is %q", text)
	}
}

func TestStringOfWhatHasNoName(t *testing.T) {
	for want, v := range map[string]fmt.Stringer{
		"State(9)":    messaging.State(9),
		"Action(9)":   messaging.Action(9),
		"Overflow(9)": messaging.Overflow(9),
		"closed":      messaging.Closed,
		"move":        messaging.Move,
		"drop-head":   messaging.DropOldest,
	} {
		if got := v.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
