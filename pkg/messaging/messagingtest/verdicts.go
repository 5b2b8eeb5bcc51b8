package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

var verdicts = []Case{
	{Rule: "C5", Name: "C5_nil", run: c5Nil,
		Text: "nil: acknowledged, gone from the queue"},
	{Rule: "C5", Name: "C5_reject", run: c5Reject,
		Text: "Reject(err): straight to the dead-letter queue"},
	{Rule: "C5", Name: "C5_retry_after", run: c5RetryAfter,
		Text: "RetryAfter(d, err): again, no sooner than d"},
	{Rule: "C5", Name: "C5_requeue", run: c5Requeue,
		Text: "Requeue(err): back to the queue at once, not counted as an attempt"},
	{Rule: "C5", Name: "C5_error", run: c5Error,
		Text: "any other error: again, as Source.Retry says"},
	{Rule: "C5", Name: "C5_panic", run: c5Panic,
		Text: "a panic is an error like any other"},
	{Rule: "C5", Name: "C5_panic_in_order_by", run: c5PanicInOrderBy,
		Text: "a panic in Source.OrderBy is an error like any other, and no handler gets the message; others are handled"},
	{Rule: "C5", Name: "C5_wait_holds_up_nothing", run: c5HoldsUp,
		Text: "a message that waits for its retry holds up no other message and no worker"},
	{Rule: "C6", Name: "C6_attempts", run: c6Attempts,
		Text: "a handler that always fails sees Attempt 1..MaxAttempts, then the message is in the dead-letter queue with headers that say why, how often, from where and when"},
	{Rule: "C6", Name: "C6_last_attempt_only", run: c6Once,
		Text: "MaxAttempts 1 never retries"},
	{Rule: "C7", Name: "C7_dead_letter_confirmed", run: c7Confirmed,
		Text: "a dead letter is confirmed in its new place before it leaves the old one"},
	{Rule: "C10", Name: "C10_undecodable", run: c10Undecodable,
		Text: "what cannot be decoded is dead-lettered once, never looped"},
}

// quick retries without making anybody wait.
var quick = messaging.Retry{Min: time.Millisecond, Max: time.Millisecond}

// handled subscribes to a queue with one message; first is the verdict on its
// first delivery, later ones are acknowledged. It returns the queue, all
// deliveries up to the n-th, and their times.
func (e *env) handled(n int, retry messaging.Retry, first func() error) (messaging.Address, []messaging.Delivery, []time.Time, error) {
	q, err := e.filled(1)
	if err != nil {
		return q, nil, nil, err
	}
	in := newInbox()
	var times []time.Time
	handle := func(_ context.Context, d *messaging.Delivery) error {
		times = append(times, time.Now())
		in.put(d)
		if len(times) == 1 {
			return first()
		}
		return nil
	}
	s, err := e.subscribe(messaging.Source{Address: q, Retry: retry}, handle)
	if err != nil {
		return q, nil, nil, err
	}
	got, err := e.take(in, n)
	if err == nil {
		err = s.stop()
	}
	return q, got, times, err
}

func c5Nil(e *env) error {
	q, _, _, err := e.handled(1, quick, func() error { return nil })
	if err != nil {
		return err
	}
	return errors.Join(e.empty(q), e.empty(dead(q)))
}

func c5Reject(e *env) error {
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	return e.rejected(q, func(context.Context, *messaging.Delivery) error {
		return fmt.Errorf("wrapped: %w", messaging.Reject(errors.New("will never work")))
	}, messaging.ReasonRejected, "wrapped: will never work")
}

// rejected checks that the one message of q goes to the dead letters once.
func (e *env) rejected(q messaging.Address, handle messaging.Handler, reason, text string) error {
	calls := 0
	s, err := e.subscribe(messaging.Source{Address: q, Retry: quick}, func(ctx context.Context, d *messaging.Delivery) error {
		calls++
		return handle(ctx, d)
	})
	if err != nil {
		return err
	}
	got, err := e.receive(dead(q), 1)
	if err != nil {
		return fmt.Errorf("no dead letter: %w", err)
	}
	if err := s.stop(); err != nil {
		return err
	}
	if calls != 1 {
		return fmt.Errorf("it was handled %d times", calls)
	}
	if got[0].Attempt != 1 {
		return fmt.Errorf("the dead letter has Attempt %d in its new queue", got[0].Attempt)
	}
	if err := deadHeaders(got[0], q, reason, text, 1); err != nil {
		return err
	}
	return errors.Join(e.empty(q), e.empty(dead(q)))
}

func deadHeaders(d messaging.Delivery, from messaging.Address, reason, text string, attempts int) error {
	for key, want := range map[string]string{
		messaging.HeaderDeadReason:   reason,
		messaging.HeaderDeadFrom:     from.String(),
		messaging.HeaderDeadAttempts: strconv.Itoa(attempts),
	} {
		if d.Headers[key] != want {
			return fmt.Errorf("the dead letter's header %s is %q, not %q", key, d.Headers[key], want)
		}
	}
	if text != "" && d.Headers[messaging.HeaderDeadError] != text {
		return fmt.Errorf("the dead letter's header %s is %q, not %q", messaging.HeaderDeadError, d.Headers[messaging.HeaderDeadError], text)
	}
	at, err := time.Parse(time.RFC3339, d.Headers[messaging.HeaderDeadTime])
	if err != nil || time.Since(at).Abs() > time.Hour {
		return fmt.Errorf("the dead letter's header %s is %q, which is not now", messaging.HeaderDeadTime, d.Headers[messaging.HeaderDeadTime])
	}
	return nil
}

func c5RetryAfter(e *env) error {
	const wait = 700 * time.Millisecond
	q, got, times, err := e.handled(2, quick, func() error { return messaging.RetryAfter(wait, errors.New("busy")) })
	if err != nil {
		return err
	}
	if took := times[1].Sub(times[0]); took < wait || took > wait+e.h.Accuracy+e.h.Slack {
		return fmt.Errorf("asked for a retry after %s, it came after %s", wait, took)
	}
	if got[1].Attempt != 2 || got[1].ID != got[0].ID || string(got[1].Body) != "m0" {
		return fmt.Errorf("the retry has Attempt %d, ID %s (was %s), body %q", got[1].Attempt, got[1].ID, got[0].ID, got[1].Body)
	}
	return errors.Join(e.empty(q), e.empty(dead(q)))
}

func c5Requeue(e *env) error {
	q, got, _, err := e.handled(2, messaging.Retry{MaxAttempts: 1}, func() error { return messaging.Requeue(errors.New("not me")) })
	if err != nil {
		return err
	}
	if got[1].Attempt != 1 || !got[1].Redelivered {
		return fmt.Errorf("after Requeue it has Attempt %d, Redelivered %t", got[1].Attempt, got[1].Redelivered)
	}
	return errors.Join(e.empty(q), e.empty(dead(q)))
}

func c5Error(e *env) error {
	retry := messaging.Retry{Min: 300 * time.Millisecond, Max: 400 * time.Millisecond}
	return e.retried(retry, func() error { return errors.New("try again") })
}

func c5Panic(e *env) error {
	return e.retried(quick, func() error { panic("on purpose") })
}

func c5PanicInOrderBy(e *env) error {
	q, err := e.filled(2)
	if err != nil {
		return err
	}
	orderBy := func(d *messaging.Delivery) string {
		if string(d.Body) == "m0" {
			panic("on purpose")
		}
		return "key"
	}
	retry := quick
	retry.MaxAttempts = 2
	in := newInbox()
	s, err := e.subscribe(messaging.Source{Address: q, Concurrency: 2, OrderBy: orderBy, Retry: retry}, in.accept)
	if err != nil {
		return err
	}
	letters, err := e.receive(dead(q), 1)
	if err != nil {
		return fmt.Errorf("no dead letter: %w", err)
	}
	got, err := e.take(in, 1)
	if err != nil {
		return err
	}
	if err := errors.Join(s.stop(), same(got, []string{"m1"}), same(letters, []string{"m0"})); err != nil {
		return err
	}
	if len(in) > 0 {
		return errors.New("the message without a key came to a handler")
	}
	return errors.Join(deadHeaders(letters[0], q, messaging.ReasonAttempts, "", 2), e.empty(q))
}

func (e *env) retried(retry messaging.Retry, first func() error) error {
	q, got, times, err := e.handled(2, retry, first)
	if err != nil {
		return err
	}
	if got[1].Attempt != 2 || got[1].ID != got[0].ID {
		return fmt.Errorf("the retry has Attempt %d, ID %s (was %s)", got[1].Attempt, got[1].ID, got[0].ID)
	}
	if took := times[1].Sub(times[0]); took < retry.Min || took > retry.Max+e.h.Accuracy+e.h.Slack {
		return fmt.Errorf("a retry of %s to %s came after %s", retry.Min, retry.Max, took)
	}
	return errors.Join(e.empty(q), e.empty(dead(q)))
}

func c5HoldsUp(e *env) error {
	q, err := e.filled(4)
	if err != nil {
		return err
	}
	const wait = 2 * time.Second
	in := newInbox()
	handle := func(_ context.Context, d *messaging.Delivery) error {
		in.put(d)
		if d.Attempt == 1 && string(d.Body) == "m0" {
			return messaging.RetryAfter(wait, errors.New("later"))
		}
		return nil
	}
	start := time.Now()
	s, err := e.subscribe(messaging.Source{Address: q, Prefetch: 1}, handle)
	if err != nil {
		return err
	}
	got, err := e.take(in, 4)
	if err != nil {
		return err
	}
	if took := time.Since(start); took >= wait {
		return fmt.Errorf("one message waited %s for its retry, and those behind it took %s", wait, took)
	}
	if err := same(got, []string{"m0", "m1", "m2", "m3"}); err != nil {
		return err
	}
	got, err = e.take(in, 1)
	if err != nil {
		return err
	}
	if err := same(got, []string{"m0"}); err != nil {
		return err
	}
	return s.stop()
}

// untilDead lets a handler fail until q's one message is a dead letter. It
// returns what was handled, and the dead letter.
func (e *env) untilDead(q messaging.Address, retry messaging.Retry, fail func(*messaging.Delivery) error) (inbox, messaging.Delivery, error) {
	in := newInbox()
	s, err := e.subscribe(messaging.Source{Address: q, Retry: retry}, func(_ context.Context, d *messaging.Delivery) error {
		in.put(d)
		return fail(d)
	})
	if err != nil {
		return in, messaging.Delivery{}, err
	}
	letters, err := e.receive(dead(q), 1)
	if err != nil {
		return in, messaging.Delivery{}, fmt.Errorf("no dead letter: %w", err)
	}
	return in, letters[0], s.stop()
}

func c6Attempts(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	sent := &messaging.Message{
		Type: "t", ContentType: "text/plain", CorrelationID: "c", ReplyTo: "r",
		Headers: map[string]string{"mine": "kept"}, Body: []byte("poison"),
	}
	if err := e.publish(q, sent); err != nil {
		return err
	}
	retry := quick
	retry.MaxAttempts = 3
	in, d, err := e.untilDead(q, retry, func(d *messaging.Delivery) error { return fmt.Errorf("failure %d", d.Attempt) })
	if err != nil {
		return err
	}
	if len(in) != 3 {
		return fmt.Errorf("it was handled %d times with MaxAttempts 3", len(in))
	}
	for want := 1; want <= 3; want++ {
		if d := <-in; d.Attempt != want {
			return fmt.Errorf("delivery %d has Attempt %d", want, d.Attempt)
		}
	}
	if err := deadHeaders(d, q, messaging.ReasonAttempts, "failure 3", 3); err != nil {
		return err
	}
	for _, h := range []string{messaging.HeaderDeadReason, messaging.HeaderDeadError, messaging.HeaderDeadAttempts,
		messaging.HeaderDeadFrom, messaging.HeaderDeadTime} {
		delete(d.Headers, h)
	}
	if err := sameMessage(d.Message, *sent); err != nil {
		return fmt.Errorf("but for its headers, the dead letter is not the message that was sent: %w", err)
	}
	return errors.Join(e.empty(q), e.empty(dead(q)))
}

func c6Once(e *env) error {
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	in, letter, err := e.untilDead(q, messaging.Retry{MaxAttempts: 1},
		func(*messaging.Delivery) error { return errors.New("once is enough") })
	if err != nil {
		return err
	}
	if len(in) != 1 {
		return fmt.Errorf("it was handled %d times", len(in))
	}
	return deadHeaders(letter, q, messaging.ReasonAttempts, "once is enough", 1)
}

// c7Confirmed makes the dead-letter queue full: until there is room in it, the
// message must not be lost.
func c7Confirmed(e *env) error {
	full, _, err := e.fullQueue(1)
	if err != nil {
		return err
	}
	q, err := e.filled(2)
	if err != nil {
		return err
	}
	calls := make(chan struct{}, 1000)
	s, err := e.subscribe(messaging.Source{Address: q, Concurrency: 1, Retry: messaging.Retry{DeadLetter: full}},
		func(_ context.Context, d *messaging.Delivery) error {
			select {
			case calls <- struct{}{}:
			default:
			}
			if string(d.Body) == "m0" {
				return messaging.Reject(errors.New("no room for it"))
			}
			return nil
		})
	if err != nil {
		return err
	}
	for range 2 { // the second time, what became of the first verdict may be known
		if err := e.wait(e.ctx, calls, "the handler"); err != nil {
			return err
		}
	}
	if err := e.b.Publish(e.ctx, full, text("filler")); !errors.Is(err, messaging.ErrRejected) {
		return fmt.Errorf("another message to the full queue gave %v", err)
	}
	if _, err := e.b.Purge(e.ctx, full); err != nil {
		return err
	}
	got, err := e.receive(full, 1)
	if err != nil {
		return fmt.Errorf("the dead-letter queue was full for a while, and the message is lost: %w", err)
	}
	if err := s.stop(); err != nil {
		return err
	}
	return same(got, []string{"m0"})
}

func c10Undecodable(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	if err := e.publish(q, &messaging.Message{ContentType: "application/json", Body: []byte("{no json")}); err != nil {
		return err
	}
	handle := messaging.HandleJSON(func(context.Context, map[string]string, *messaging.Delivery) error {
		return errors.New("called with what is no JSON")
	})
	return e.rejected(q, handle, messaging.ReasonRejected, "")
}
