package memory_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func bodies[M interface {
	messaging.Message | messaging.Delivery
}](all []M, body func(M) []byte) string {
	texts := make([]string, len(all))
	for i, m := range all {
		texts[i] = string(body(m))
	}
	return strings.Join(texts, " ")
}

func published(b *memory.Broker, to messaging.Address) string {
	return bodies(b.Published(to), func(m messaging.Message) []byte { return m.Body })
}

func TestPublished(t *testing.T) { synctest.Test(t, testPublished) }

func testPublished(t *testing.T) {
	b := memory.New(memory.WithRecording(), memory.WithMaxMessageSize(8))
	must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work", MaxLength: 2}))
	mustBe(t, b.Publish(t.Context(), work, messages("a", "too large", "b", "too many")...), messaging.ErrRejected)
	mustBe(t, b.Publish(t.Context(), messaging.Queue("none"), messages("c")...), messaging.ErrUnroutable)
	sent := &messaging.Message{Key: "k", Body: []byte("d"), Headers: map[string]string{"h": "1"}, Delay: time.Hour}
	must(t, b.Publish(t.Context(), events, sent))
	for to, want := range map[messaging.Address]string{
		work: "a b", messaging.Queue("none"): "", events: "d", messaging.Queue("events"): "",
	} {
		if got := published(b, to); got != want {
			t.Errorf("to %s: %q, want %q", to, got, want)
		}
	}
	expectTexts(t, b, work, "a b") // and it is remembered all the same
	first := b.Published(events)[0]
	first.Body[0], first.Headers["h"] = 'x', "2" // nobody sees that
	m := b.Published(events)[0]
	if string(m.Body) != "d" || m.ID != sent.ID || m.Key != "k" || m.Headers["h"] != "1" || m.Delay != time.Hour || !m.Time.Equal(sent.Time) {
		t.Errorf("got %+v", m)
	}
	must(t, b.Close(t.Context()))
	if got := published(b, work); got != "a b" {
		t.Errorf("after Close: %q", got)
	}
}

func TestPublishedWithoutRecordingPanics(t *testing.T) {
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "WithRecording") {
			t.Errorf("panicked with %s", p)
		}
	}()
	memory.New().Published(work)
}

func TestDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		grave := messaging.Queue("grave")
		for _, to := range []messaging.Address{{}, grave} {
			publish(t, b, work, "a", "b", "c")
			for range 3 {
				p, err := b.Get(t.Context(), messaging.Source{Address: work, Retry: messaging.Retry{DeadLetter: to}})
				must(t, err)
				must(t, p.Settle(messaging.Reject(fmt.Errorf("no %s", p.Body))))
			}
		}
		letter := func(d messaging.Delivery) []byte { return d.Body }
		if got := bodies(b.DeadLetters(work), letter); got != "a b c a b c" {
			t.Errorf("got %q", got)
		}
		must(t, get(t, b, grave).Settle(nil))                                  // gone
		must(t, get(t, b, grave).Settle(messaging.Requeue(nil)))               // back in its place
		must(t, get(t, b, grave).Settle(messaging.RetryAfter(time.Hour, nil))) // waits
		held := get(t, b, grave)
		publish(t, b, grave, "no dead letter")
		all := b.DeadLetters(work)
		if got := bodies(all, letter); got != "c b a b c" && got != "a b c c b" {
			t.Errorf("got %q", got)
		}
		for _, d := range all {
			if d.Headers[messaging.HeaderDeadError] != "no "+string(d.Body) || d.From == work {
				t.Errorf("got %+v", d)
			}
		}
		if got := b.DeadLetters(grave); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		must(t, held.Settle(nil))
	})
}
