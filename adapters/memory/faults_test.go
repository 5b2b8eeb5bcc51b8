package memory_test

import (
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

func TestDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s := newStation()
		r := subscribe(t, b, messaging.Source{Prefetch: 2}, s.handle)
		publish(t, b, work, "a", "b", "c")
		s.expect(t, "a")
		since := time.Now()
		b.Disconnect()
		b.Disconnect() // once is enough
		h := b.Health()
		if h.State != messaging.Connecting || h.Subscriptions != 0 || h.LastError == nil || !h.Since.Equal(since) {
			t.Errorf("Health is %s", h)
		}
		published := make(chan error, 1)
		go func() { published <- b.Publish(context.Background(), work, messages("d")...) }()
		s.verdicts <- nil // too late: the message is back in the queue
		synctest.Wait()
		s.expect(t, "a")

		time.Sleep(time.Second)
		b.Reconnect()
		b.Reconnect()
		must(t, <-published)
		close(s.verdicts)
		s.expect(t, "a a b c d")
		for i, want := range []bool{false, true, true, false, false} {
			if d := s.deliveries()[i]; d.Redelivered != want || d.Attempt != 1 {
				t.Errorf("%s: redelivered %v, attempt %d", d.Body, d.Redelivered, d.Attempt)
			}
		}
		if n := r.readyTimes(); n != 2 {
			t.Errorf("Ready was called %d times, want 2", n)
		}
		if h := b.Health(); h.State != messaging.Connected || h.Subscriptions != 1 || !h.Since.Equal(time.Now()) {
			t.Errorf("Health is %s", h)
		}
		r.end()
	})
}

func TestSubscribeWhileDisconnected(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a")
		b.Disconnect()
		s := newStation()
		r := subscribe(t, b, messaging.Source{}, s.accept)
		given := subscribe(t, b, messaging.Source{}, s.accept)
		s.expect(t, "")
		given.end() // without ever having been ready
		if given.readyTimes() != 0 || r.readyTimes() != 0 {
			t.Error("ready while disconnected")
		}
		b.Reconnect()
		s.expect(t, "a")
		r.end()
	})
}

func TestDisconnectWhileDraining(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a", "b")
		s := newStation()
		r := subscribe(t, b, messaging.Source{}, s.handle)
		r.stop()
		synctest.Wait()
		b.Disconnect()
		s.verdicts <- nil
		must(t, <-r.ended)
		b.Reconnect()
		expectInfo(t, b, work, 2, 0, 0)
	})
}

func TestCancelConsumers(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s := newStation()
		r := subscribe(t, b, messaging.Source{Prefetch: 3}, s.handle)
		publish(t, b, work, numbered(6)...)
		s.expect(t, "0")
		b.CancelConsumers(work)
		b.CancelConsumers(messaging.Queue("none"))
		synctest.Wait()
		if n := r.readyTimes(); n != 2 {
			t.Errorf("Ready was called %d times, want 2", n)
		}
		if h := b.Health(); h.Subscriptions != 1 || h.LastError == nil {
			t.Errorf("Health is %s", h)
		}
		expectInfo(t, b, work, 3, 3, 1) // still no more than its prefetch
		close(s.verdicts)
		s.expect(t, "0 1 2 3 4 5")
		for _, d := range s.deliveries() {
			if d.Redelivered {
				t.Errorf("%s is marked", d.Body)
			}
		}
		r.end()
		expectInfo(t, b, work, 0, 0, 0)
	})
}

func TestDeletedQueueIsDeclaredAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("limited")
		spec := messaging.QueueSpec{Name: "limited", MaxLength: 7, SingleActive: true}
		must(t, b.Declare(t.Context(), spec))
		s := newStation()
		r := subscribe(t, b, messaging.Source{Address: q}, s.handle)
		publish(t, b, q, "a", "b", "c")
		s.expect(t, "a")
		must(t, b.Delete(t.Context(), q))
		synctest.Wait()
		if n := r.readyTimes(); n != 2 {
			t.Errorf("Ready was called %d times, want 2", n)
		}
		if err := b.Health().LastError; err == nil || !strings.Contains(err.Error(), "queue:limited was deleted") {
			t.Errorf("Health says %v", err)
		}
		must(t, b.Declare(t.Context(), spec))
		publish(t, b, q, "d")
		s.verdicts <- messaging.Reject(nil) // of a message that is gone
		s.expect(t, "a d")
		expectInfo(t, b, messaging.Queue("limited.dead"), 0, 0, 0)
		close(s.verdicts)
		r.end()
	})
}

func TestEveryFaultAtEveryMoment(t *testing.T) {
	faults := map[string]func(*memory.Broker){
		"disconnect": func(b *memory.Broker) { b.Disconnect(); b.Reconnect() },
		"cancel":     func(b *memory.Broker) { b.CancelConsumers(work) },
		"block":      func(b *memory.Broker) { b.Block("alarm"); b.Unblock() },
	}
	for name, fault := range faults {
		for moment := range 20 {
			t.Run(fmt.Sprint(name, moment), func(t *testing.T) {
				bubble(t, func(t *testing.T, b *memory.Broker) { surviveFault(t, b, fault, moment) })
			})
		}
	}
}

// surviveFault has 10 messages handled, with a fault after so many steps: none
// is lost.
func surviveFault(t *testing.T, b *memory.Broker, fault func(*memory.Broker), moment int) {
	step := 0
	tick := func() {
		if step++; step == moment {
			fault(b)
		}
	}
	s := newStation()
	r := subscribe(t, b, messaging.Source{Prefetch: 4}, func(ctx context.Context, d *messaging.Delivery) error {
		tick()
		return s.accept(ctx, d)
	})
	for _, text := range numbered(10) {
		publish(t, b, work, text)
	}
	missing := map[string]bool{}
	for _, text := range numbered(10) {
		missing[text] = true
	}
	for _, d := range s.deliveries() {
		delete(missing, string(d.Body))
	}
	if len(missing) > 0 {
		t.Errorf("lost %v", missing)
	}
	r.end()
	expectInfo(t, b, work, 0, 0, 0)
}

func TestHoldConfirms(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		b.HoldConfirms()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.Publish(ctx, work, messages("a", "b")...)
		mustBe(t, err, messaging.ErrUnconfirmed)
		mustBe(t, err, context.DeadlineExceeded)
		if failed(err) != "0 1" {
			t.Error(err)
		}
		published := make(chan error, 1)
		go func() { published <- b.Publish(context.Background(), work, messages("c")...) }()
		expectInfo(t, b, work, 3, 0, 0)
		b.ReleaseConfirms()
		must(t, <-published)
		expectTexts(t, b, work, "a b c")
	})
}

func TestUnconfirmedIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.WithMaxMessageSize(5))
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
		b.HoldConfirms()
		published := make(chan error, 1)
		go func() { published <- b.Publish(context.Background(), work, messages("a", "too large", "b")...) }()
		expectInfo(t, b, work, 2, 0, 0)
		b.Disconnect()
		b.ReleaseConfirms()
		b.Reconnect()
		err := <-published
		mustBe(t, err, messaging.ErrTooLarge)
		if failed(err) != "1" {
			t.Error(err)
		}
		expectTexts(t, b, work, "a b a b")

		b.HoldConfirms()
		go func() { published <- b.Publish(context.Background(), work, messages("too large", "c")...) }()
		synctest.Wait()
		must(t, b.Close(t.Context()))
		err = <-published
		mustBe(t, err, messaging.ErrClosed)
		mustBe(t, err, messaging.ErrUnconfirmed)
		if failed(err) != "0 1" {
			t.Error(err)
		}
	})
}

func TestInject(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		must(t, b.Inject(work, messaging.Message{Body: []byte("foreign"), Headers: map[string]string{"": "\xff"}}))
		p := get(t, b, work)
		if p.ID != "" || !p.Time.IsZero() || p.Headers[""] != "\xff" || p.Attempt != 1 {
			t.Errorf("got %+v", p.Delivery)
		}
		mustBe(t, b.Inject(messaging.Queue("none"), messaging.Message{}), messaging.ErrUnroutable)
	})
}

func TestPublishFaults(t *testing.T) {
	refused := errors.New("refused")
	for _, row := range []struct {
		name   string
		faults []memory.Fault
		err    error         // of Publish, which sends 0 to 4 to work
		failed string        // the messages that it names
		took   time.Duration // how long Publish waited
		stored string
	}{
		{name: "none", stored: "0 1 2 3 4"},
		{name: "the first", faults: []memory.Fault{{Err: refused}}, err: refused, failed: "0", stored: "1 2 3 4"},
		{name: "the third", faults: []memory.Fault{{Skip: 2, Err: messaging.ErrRejected}},
			err: messaging.ErrRejected, failed: "2", stored: "0 1 3 4"},
		{name: "the next two", faults: []memory.Fault{{Times: 2, Err: refused}}, err: refused, failed: "0 1", stored: "2 3 4"},
		{name: "all to the address", faults: []memory.Fault{{To: work, Times: -1, Err: refused}},
			err: refused, failed: "0 1 2 3 4"},
		{name: "to another address", faults: []memory.Fault{{To: events, Times: -1, Err: refused}}, stored: "0 1 2 3 4"},
		{name: "each counts on its own", faults: []memory.Fault{{Skip: 1, Err: refused}, {Skip: 3, Err: refused}},
			err: refused, failed: "1 3", stored: "0 2 4"},
		{name: "the first of two", faults: []memory.Fault{{Twice: true}, {Times: 2, Err: refused}},
			err: refused, failed: "1", stored: "0 0 2 3 4"},
		{name: "lost confirmation", faults: []memory.Fault{{Skip: 1, NoConfirm: true}},
			err: messaging.ErrUnconfirmed, failed: "1", took: messaging.DefaultPublishTimeout, stored: "0 1 2 3 4"},
		{name: "late confirmations", faults: []memory.Fault{{Times: 2, ConfirmAfter: time.Second}, {Skip: 3, ConfirmAfter: 5 * time.Second}},
			took: 5 * time.Second, stored: "0 1 2 3 4"},
		{name: "too late", faults: []memory.Fault{{ConfirmAfter: time.Second}, {Skip: 3, ConfirmAfter: time.Hour}},
			err: context.DeadlineExceeded, failed: "3", took: messaging.DefaultPublishTimeout, stored: "0 1 2 3 4"},
		{name: "twice", faults: []memory.Fault{{Skip: 4, Twice: true}}, stored: "0 1 2 3 4 4"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *memory.Broker) {
				b.OnPublish(row.faults...)
				start := time.Now()
				err := b.Publish(t.Context(), work, messages(numbered(5)...)...)
				mustBe(t, err, row.err)
				if err != nil && failed(err) != row.failed || time.Since(start) != row.took {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
				expectTexts(t, b, work, row.stored)
				b.OnPublish()
				publish(t, b, work, "more")
				expectTexts(t, b, work, "more")
			})
		})
	}
}

func TestPublishFaultsOnATopic(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		src := group(t, b, "g")
		b.OnPublish(memory.Fault{To: src.Queue(), Times: -1, Err: messaging.ErrRejected}, // which nobody publishes to
			memory.Fault{To: events, Err: messaging.ErrRejected},
			memory.Fault{To: events, Skip: 1, Twice: true})
		mustBe(t, b.Publish(t.Context(), events, messages("0", "1", "2")...), messaging.ErrRejected)
		expectTexts(t, b, src.Queue(), "1 1 2")
	})
}

func TestLostConfirmationAndLostConnection(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		b.OnPublish(memory.Fault{Skip: 1, NoConfirm: true})
		published := make(chan error, 1)
		go func() { published <- b.Publish(context.Background(), work, messages("0", "1", "2")...) }()
		synctest.Wait()
		b.Disconnect()
		b.Reconnect()
		must(t, <-published)
		expectTexts(t, b, work, "0 1 2 1") // only what was in doubt is sent again
	})
}

func TestRedeliver(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a", "b", "c")
		s := newStation()
		r := subscribe(t, b, messaging.Source{Prefetch: 2}, s.handle)
		s.expect(t, "a")
		b.Redeliver(work)
		b.Redeliver(messaging.Queue("none"))
		expectInfo(t, b, work, 1, 2, 1)
		s.verdicts <- messaging.Reject(nil) // has no effect
		close(s.verdicts)
		s.expect(t, "a a b c")
		for i, want := range []bool{false, true, true, false} {
			if d := s.deliveries()[i]; d.Redelivered != want || d.Attempt != 1 {
				t.Errorf("%s: redelivered %v, attempt %d", d.Body, d.Redelivered, d.Attempt)
			}
		}
		if n := r.readyTimes(); n != 2 || len(b.DeadLetters(work)) != 0 {
			t.Errorf("Ready was called %d times, want 2; dead letters %v", n, b.DeadLetters(work))
		}
		r.end()
	})
}

// TestSentAgainToNowhere: the queue is deleted while its messages are in doubt.
// That they are sent again in vain is certain, as on RabbitMQ.
func TestSentAgainToNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer b.Close(t.Context())
		q := messaging.Queue("q")
		if err := b.Declare(t.Context(), messaging.QueueSpec{Name: "q"}); err != nil {
			t.Fatal(err)
		}
		b.HoldConfirms()
		result := make(chan error, 1)
		go func() { result <- b.Publish(t.Context(), q, &messaging.Message{}, &messaging.Message{}) }()
		synctest.Wait()
		if err := b.Delete(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		b.Disconnect()
		b.Reconnect()
		err := <-result
		var failure *messaging.PublishError
		if !errors.As(err, &failure) || len(failure.Failed) != 2 || !errors.Is(err, messaging.ErrUnroutable) || errors.Is(err, messaging.ErrUnconfirmed) {
			t.Errorf("%v; want two messages that are unroutable", err)
		}
	})
}
