package memory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestFailuresAreRetriedThenDeadLettered(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		sent := &messaging.Message{
			Body: []byte("bad"), Headers: map[string]string{"mine": "1"}, TTL: time.Hour, Delay: time.Second,
		}
		must(t, b.Publish(t.Context(), work, sent))
		start := time.Now()
		var attempts []int
		var at []time.Duration
		src := messaging.Source{Retry: messaging.Retry{MaxAttempts: 3, Min: 10 * time.Second, Max: 10 * time.Second}}
		r := subscribe(t, b, src, func(_ context.Context, d *messaging.Delivery) error {
			attempts = append(attempts, d.Attempt)
			at = append(at, time.Since(start))
			if d.Redelivered != (d.Attempt > 1) {
				t.Errorf("attempt %d has Redelivered %v", d.Attempt, d.Redelivered)
			}
			clear(d.Headers)
			return errors.New("no good")
		})
		time.Sleep(time.Minute)
		r.end()
		for i, want := range []time.Duration{time.Second, 11 * time.Second, 21 * time.Second} {
			if i >= len(at) || at[i] != want || attempts[i] != i+1 {
				t.Fatalf("attempts %v at %v", attempts, at)
			}
		}
		expectInfo(t, b, work, 0, 0, 0)
		expectDead(t, get(t, b, messaging.Queue("work.dead")), sent)
	})
}

func expectDead(t *testing.T, p *messaging.Pending, sent *messaging.Message) {
	t.Helper()
	for k, want := range map[string]string{
		"mine":                       "1",
		messaging.HeaderDeadReason:   messaging.ReasonAttempts,
		messaging.HeaderDeadError:    "no good",
		messaging.HeaderDeadAttempts: "3",
		messaging.HeaderDeadFrom:     "queue:work",
	} {
		if p.Headers[k] != want {
			t.Errorf("header %s is %q, want %q", k, p.Headers[k], want)
		}
	}
	if p.ID != sent.ID || !p.Time.Equal(sent.Time) || p.TTL != 0 || p.Delay != 0 ||
		p.Attempt != 1 || p.Redelivered || string(p.Body) != "bad" {
		t.Errorf("dead letter is %+v", p.Delivery)
	}
	must(t, p.Settle(nil))
}

func TestRetryComesBackAtTheTailAndHoldsNoCredit(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "fails", "a", "b")
		s := newStation()
		r := subscribe(t, b, messaging.Source{Prefetch: 1}, s.handle)
		s.verdicts <- messaging.RetryAfter(time.Minute, nil)
		s.expect(t, "fails a")
		expectInfo(t, b, work, 1, 1, 1)
		time.Sleep(time.Minute)
		expectInfo(t, b, work, 2, 1, 1)
		close(s.verdicts)
		s.expect(t, "fails a b fails")
		r.end()
	})
}

func TestRetryAfterNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a", "b")
		p := get(t, b, work)
		must(t, p.Settle(messaging.RetryAfter(0, nil)))
		expectTexts(t, b, work, "b a")
	})
}

func TestRejectedIsDeadLetteredElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		grave := messaging.Queue("grave")
		publish(t, b, work, "bad")
		s := newStation()
		r := subscribe(t, b, messaging.Source{Retry: messaging.Retry{DeadLetter: grave}}, s.handle)
		must(t, b.Delete(t.Context(), grave)) // it is declared again when it is needed
		s.verdicts <- messaging.Reject(errors.New("why"))
		expectInfo(t, b, grave, 1, 0, 0)
		expectInfo(t, b, work, 0, 0, 1)
		r.end()
	})
}

func TestDeadLettersToEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		ping, pong := messaging.Queue("ping"), messaging.Queue("pong")
		left := 1000
		reject := func(context.Context, *messaging.Delivery) error {
			if left--; left < 0 {
				return nil
			}
			return messaging.Reject(nil)
		}
		r1 := subscribe(t, b, messaging.Source{Address: ping, Retry: messaging.Retry{DeadLetter: pong}}, reject)
		r2 := subscribe(t, b, messaging.Source{Address: pong, Retry: messaging.Retry{DeadLetter: ping}}, reject)
		publish(t, b, ping, "ball")
		synctest.Wait()
		if left != -1 {
			t.Errorf("%d left", left)
		}
		r1.end()
		r2.end()
	})
}

func TestReleasedReturnsToItsPlace(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, numbered(10)...)
		var held []*messaging.Pending
		for range 6 {
			held = append(held, get(t, b, work))
		}
		for _, i := range []int{4, 0, 5, 2} { // 1 and 3 stay out
			must(t, held[i].Settle(messaging.Requeue(nil)))
		}
		for _, want := range strings.Fields("0 2") {
			p := get(t, b, work)
			if string(p.Body) != want || !p.Redelivered || p.Attempt != 1 {
				t.Errorf("got %q, redelivered %v, attempt %d; want %s", p.Body, p.Redelivered, p.Attempt, want)
			}
			must(t, p.Settle(nil))
		}
		must(t, held[3].Settle(messaging.Requeue(nil)))
		expectTexts(t, b, work, "3 4 5 6 7 8 9")
		must(t, held[1].Settle(messaging.Requeue(nil)))
		expectTexts(t, b, work, "1")
	})
}

func TestPendingOutlivesDeletionAndLoss(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a")
		lost := get(t, b, work)
		b.Disconnect()
		b.Reconnect()
		mustBe(t, lost.Settle(nil), messaging.ErrSettled)
		again := get(t, b, work)
		if !again.Redelivered {
			t.Error("not marked as redelivered")
		}
		mustBe(t, lost.Settle(messaging.Requeue(nil)), messaging.ErrSettled)
		expectInfo(t, b, work, 0, 1, 0)

		must(t, b.Delete(t.Context(), work))
		mustBe(t, again.Settle(messaging.Reject(nil)), messaging.ErrSettled)
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
		expectInfo(t, b, work, 0, 0, 0)
		_, err := b.Inspect(t.Context(), messaging.Queue("work.dead"))
		mustBe(t, err, messaging.ErrNotFound)
	})
}

func TestOrderBy(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a1", "a2", "a3", "b1", "b2")
		s := newStation()
		r := subscribe(t, b, messaging.Source{
			Concurrency: 3,
			OrderBy:     func(d *messaging.Delivery) string { return string(d.Body[:1]) },
		}, s.handle)
		if got := s.texts(); got != "a1 b1" && got != "b1 a1" { // two handlers at once
			t.Fatalf("handled %q, want a1 and b1", got)
		}
		r.stop()
		expectInfo(t, b, work, 3, 2, 0)
		s.verdicts <- nil
		s.verdicts <- nil
		must(t, <-r.ended)
		for _, want := range []string{"a2", "a3", "b2"} {
			p := get(t, b, work)
			if string(p.Body) != want || p.Redelivered || p.Attempt != 1 {
				t.Errorf("got %q, redelivered %v, attempt %d; want %s", p.Body, p.Redelivered, p.Attempt, want)
			}
			must(t, p.Settle(nil))
		}
	})
}

func TestFullDeadLetterQueueLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		full := messaging.Queue("full")
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "full", MaxLength: 1}))
		publish(t, b, full, "filler")
		publish(t, b, work, "bad")
		s := newStation()
		src := messaging.Source{Prefetch: 1, Retry: messaging.Retry{DeadLetter: full}}
		r := subscribe(t, b, src, func(_ context.Context, d *messaging.Delivery) error {
			s.note(d)
			return messaging.Reject(nil)
		})
		s.expect(t, "bad")
		expectInfo(t, b, full, 1, 0, 0)
		expectTexts(t, b, full, "filler")
		time.Sleep(time.Second)
		expectTexts(t, b, full, "bad")
		if d := s.deliveries()[1]; d.Attempt != 1 || !d.Redelivered {
			t.Errorf("handled again as %+v", d)
		}
		r.end()
	})
}

func TestRedrive(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		dead := messaging.Queue("work.dead")
		must(t, b.Publish(t.Context(), work, &messaging.Message{Body: []byte("a"), Headers: map[string]string{"mine": "1"}}))
		must(t, get(t, b, work).Settle(messaging.RetryAfter(0, nil)))
		must(t, get(t, b, work).Settle(messaging.Reject(nil)))
		must(t, b.Delete(t.Context(), work))
		n, err := messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{})
		mustBe(t, err, messaging.ErrUnroutable)
		if n != 0 {
			t.Errorf("redrove %d to nowhere", n)
		}
		expectInfo(t, b, dead, 1, 0, 0)

		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
		n, err = messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{})
		must(t, err)
		p := get(t, b, work)
		if n != 1 || p.Attempt != 1 || p.Redelivered || len(p.Headers) != 1 || p.Headers["mine"] != "1" {
			t.Errorf("redrove %d: %+v", n, p.Delivery)
		}
		expectInfo(t, b, dead, 0, 0, 0)
	})
}

// A hold that was lost must not act on what its entry is used for next.
func TestLostHoldTouchesNoOtherMessage(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a")
		lost := get(t, b, work)
		b.Disconnect()
		b.Reconnect()
		must(t, get(t, b, work).Settle(nil))

		other := messaging.Queue("other")
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "other"}))
		publish(t, b, other, "b")
		p := get(t, b, other)
		mustBe(t, lost.Settle(nil), messaging.ErrSettled)
		expectInfo(t, b, work, 0, 0, 0)
		expectInfo(t, b, other, 0, 1, 0)
		must(t, p.Settle(nil))
	})
}
