package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestPublishKeepsOrderAndContent(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		sent := &messaging.Message{
			ID: "id", Type: "type", ContentType: "text/plain", CorrelationID: "c", ReplyTo: "r", Key: "k",
			Time: time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC), TTL: time.Hour,
			Headers: map[string]string{"h": "v"}, Body: []byte("body"),
		}
		must(t, b.Publish(t.Context(), work, sent))
		publish(t, b, work, numbered(200)...)
		p := get(t, b, work)
		if got, want := fmt.Sprint(p.Message), fmt.Sprint(*sent); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if p.From != work || p.Attempt != 1 || p.Redelivered {
			t.Errorf("got %+v", p.Delivery)
		}
		must(t, p.Settle(nil))
		expectTexts(t, b, work, strings.Join(numbered(200), " "))
	})
}

func TestPublisherAndReceiversShareNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		m := &messaging.Message{Body: []byte("sent"), Headers: map[string]string{"k": "sent"}}
		must(t, b.Publish(t.Context(), work, m))
		copy(m.Body, "XXXX")
		m.Headers["k"] = "X"

		for range 3 {
			p := get(t, b, work)
			if string(p.Body) != "sent" || p.Headers["k"] != "sent" {
				t.Fatalf("received %q, %v", p.Body, p.Headers)
			}
			copy(p.Body, "YYYY")
			p.Headers["k"] = "Y"
			must(t, p.Settle(messaging.Requeue(nil)))
		}
	})
}

func TestPublishErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.WithMaxMessageSize(10))
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "full", MaxLength: 2}))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		big := messages("ok", string(make([]byte, 11)), "ok")
		for _, c := range []struct {
			name   string
			ctx    context.Context
			to     messaging.Address
			msgs   []*messaging.Message
			want   error
			failed string
		}{
			{"no queue", t.Context(), messaging.Queue("none"), messages("a", "b"), messaging.ErrUnroutable, "0 1"},
			{"delayed, no queue", t.Context(), messaging.Queue("none"), []*messaging.Message{{Delay: time.Second}}, messaging.ErrUnroutable, "0"},
			{"too large", t.Context(), work, big, messaging.ErrTooLarge, "1"},
			{"too large, no queue", t.Context(), messaging.Queue("none"), big, messaging.ErrTooLarge, "0 1 2"},
			{"full", t.Context(), messaging.Queue("full"), messages("1", "2", "3", "4"), messaging.ErrRejected, "2 3"},
			{"ended", ended, work, messages("a", "b"), context.Canceled, "0 1"},
		} {
			err := b.Publish(c.ctx, c.to, c.msgs...)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
			}
			if got := failed(err); got != c.failed {
				t.Errorf("%s: %s failed, want %s", c.name, got, c.failed)
			}
		}
		expectTexts(t, b, work, "ok ok")
		expectTexts(t, b, messaging.Queue("full"), "1 2")
		must(t, b.Close(t.Context()))
		mustBe(t, b.Publish(t.Context(), work, messages("late")...), messaging.ErrClosed)
	})
}

// failed lists the indexes that a PublishError names, and checks its IDs.
func failed(err error) string {
	var e *messaging.PublishError
	if !errors.As(err, &e) {
		return ""
	}
	var all []string
	for _, f := range e.Failed {
		if len(f.ID) != 36 {
			return "bad ID " + f.ID
		}
		all = append(all, fmt.Sprint(f.Index))
	}
	return strings.Join(all, " ")
}

func TestPublishOfNothingIsNoError(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) { must(t, b.Publish(t.Context(), work)) })
}

func TestMaxLengthDropOldest(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("ring")
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "ring", MaxLength: 3, Overflow: messaging.DropOldest}))
		publish(t, b, q, numbered(10)...)
		expectInfo(t, b, q, 3, 0, 0)
		first := get(t, b, q) // 7; it has room to come back to
		must(t, first.Settle(messaging.Requeue(nil)))
		first = get(t, b, q)
		publish(t, b, q, "10")
		must(t, first.Settle(messaging.Requeue(nil))) // now it is the oldest of four
		expectTexts(t, b, q, "8 9 10")
	})
}

func TestMaxLengthDoesNotCountWhatConsumersHold(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("full")
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "full", MaxLength: 1}))
		s := newStation()
		r := subscribe(t, b, messaging.Source{Address: q, Prefetch: 2}, s.handle)
		publish(t, b, q, "1", "2", "3")
		err := b.Publish(t.Context(), q, messages("4", "5")...)
		mustBe(t, err, messaging.ErrRejected)
		if failed(err) != "0 1" {
			t.Errorf("%s failed", failed(err))
		}
		close(s.verdicts)
		s.expect(t, "1 2 3")
		r.end()
	})
}

func TestPublishWaitsForUnblock(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s := newStation()
		r := subscribe(t, b, messaging.Source{}, s.accept)
		publish(t, b, work, "before")
		b.Block("disk alarm")
		s.expect(t, "before") // consumers go on
		done := make(chan error, 1)
		go func() { done <- b.Publish(context.Background(), work, messages("during")...) }()
		synctest.Wait()
		if h := b.Health(); !h.Blocked || h.BlockedReason != "disk alarm" || h.State != messaging.Connected {
			t.Errorf("Health is %s", h)
		}
		s.expect(t, "before")
		b.Unblock()
		must(t, <-done)
		s.expect(t, "before during")
		r.end()
	})
}

func TestPublishGivesUpWaiting(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   func(*memory.Broker)
		blocked bool
		timeout time.Duration // of the context; 0 is none
		want    time.Duration
	}{
		{"blocked", func(b *memory.Broker) { b.Block("alarm") }, true, 0, 20 * time.Second},
		{"blocked, deadline", func(b *memory.Broker) { b.Block("alarm") }, true, 3 * time.Second, 3 * time.Second},
		{"disconnected", (*memory.Broker).Disconnect, false, 0, 20 * time.Second},
		{"disconnected, deadline", (*memory.Broker).Disconnect, false, 40 * time.Second, 40 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := memory.New(memory.WithPublishTimeout(20 * time.Second))
				ctx := context.Background()
				if c.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.timeout)
					defer cancel()
				}
				c.fault(b)
				start := time.Now()
				err := b.Publish(ctx, work, messages("a", "b")...)
				if took := time.Since(start); took != c.want {
					t.Errorf("gave up after %s, want %s", took, c.want)
				}
				mustBe(t, err, context.DeadlineExceeded)
				if errors.Is(err, messaging.ErrBlocked) != c.blocked || failed(err) != "0 1" {
					t.Error(err)
				}
				must(t, b.Close(t.Context()))
			})
		})
	}
}

func TestPublishAllocsPerMessage(t *testing.T) {
	b := memory.New()
	must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work", MaxLength: 1, Overflow: messaging.DropOldest}))
	m := &messaging.Message{Body: bytes.Repeat([]byte("x"), 256)}
	msgs := []*messaging.Message{m}
	got := testing.AllocsPerRun(1000, func() {
		m.ID = ""
		if err := b.Publish(context.Background(), work, msgs...); err != nil {
			t.Fatal(err)
		}
	})
	if got > 3 {
		t.Errorf("%v allocations a message, want at most 3: its ID, the entry, the body", got)
	}
	must(t, b.Close(t.Context()))
}
