package memory_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestDelaysAreExact(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		start := time.Now()
		s := newStation()
		r := subscribe(t, b, messaging.Source{}, func(_ context.Context, d *messaging.Delivery) error {
			if text, _, _ := strings.Cut(string(d.Body), "#"); text != time.Since(start).String() {
				t.Errorf("delay %s is over after %s", text, time.Since(start))
			}
			s.note(d)
			return nil
		})
		for _, delay := range []time.Duration{time.Hour, 5 * time.Millisecond, 0, time.Second, time.Second, 1} {
			text := fmt.Sprintf("%s#%d", delay, len(s.deliveries()))
			must(t, b.Publish(t.Context(), work, &messaging.Message{Delay: delay, Body: []byte(text)}))
		}
		s.expect(t, "0s#0")
		expectInfo(t, b, work, 0, 0, 1) // what waits is neither ready nor unsettled
		time.Sleep(2 * time.Hour)
		s.expect(t, "0s#0 1ns#1 5ms#0 1s#1 1s#1 1h0m0s#0")
		r.end()
	})
}

func TestManyDelaysAtOnceKeepOrder(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		const n = 5000
		msgs := messages(numbered(n)...)
		for _, m := range msgs {
			m.Delay = time.Second
		}
		must(t, b.Publish(t.Context(), work, msgs...))
		time.Sleep(time.Second)
		expectInfo(t, b, work, n, 0, 0)
		for i := range n {
			p := get(t, b, work)
			if string(p.Body) != fmt.Sprint(i) {
				t.Fatalf("got %s at %d", p.Body, i)
			}
			must(t, p.Settle(nil))
		}
	})
}

func TestMessageTTL(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		ttl := func(text string, d time.Duration) {
			must(t, b.Publish(t.Context(), work, &messaging.Message{Body: []byte(text), TTL: d}))
		}
		ttl("long", time.Hour)
		ttl("short", time.Second)
		ttl("ever", 0)
		ttl("rounded up", time.Microsecond)
		expectInfo(t, b, work, 4, 0, 0)
		time.Sleep(time.Second - 1)
		expectInfo(t, b, work, 3, 0, 0)
		time.Sleep(time.Nanosecond)
		expectInfo(t, b, work, 2, 0, 0) // from the middle too
		time.Sleep(time.Hour)
		expectTexts(t, b, work, "ever")
	})
}

func TestMessageTTLCountsFromPublishing(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		m := func(text string, ttl, delay time.Duration) *messaging.Message {
			return &messaging.Message{Body: []byte(text), TTL: ttl, Delay: delay}
		}
		must(t, b.Publish(t.Context(), work,
			m("dies in its delay", 10*time.Second, 20*time.Second),
			m("dies after", 10*time.Second, 5*time.Second)))
		time.Sleep(5 * time.Second)
		expectInfo(t, b, work, 1, 0, 0)
		p := get(t, b, work)
		time.Sleep(2 * time.Second)
		must(t, p.Settle(messaging.RetryAfter(2*time.Second, nil)))
		time.Sleep(2 * time.Second) // 9 s
		expectInfo(t, b, work, 1, 0, 0)
		p = get(t, b, work)
		time.Sleep(2 * time.Second)
		expectInfo(t, b, work, 0, 1, 0) // who holds it may finish
		must(t, p.Settle(messaging.Requeue(nil)))
		time.Sleep(time.Minute)
		expectInfo(t, b, work, 0, 0, 0)
	})
}

func TestExpiredInThePrefetchIsNotHandled(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s := newStation()
		r := subscribe(t, b, messaging.Source{}, s.handle)
		must(t, b.Publish(t.Context(), work,
			&messaging.Message{Body: []byte("1"), TTL: time.Second},
			&messaging.Message{Body: []byte("2"), TTL: time.Second},
			&messaging.Message{Body: []byte("3")}))
		synctest.Wait()
		time.Sleep(time.Second)
		close(s.verdicts)
		s.expect(t, "1 3")
		expectInfo(t, b, work, 0, 0, 1)
		r.end()
	})
}

func TestQueueTTLCountsFromEntering(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("brief")
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "brief", TTL: 10 * time.Second}))
		must(t, b.Publish(t.Context(), q,
			&messaging.Message{Body: []byte("now")},
			&messaging.Message{Body: []byte("sooner"), TTL: time.Second},
			&messaging.Message{Body: []byte("later"), Delay: 5 * time.Second}))
		time.Sleep(5 * time.Second)
		expectInfo(t, b, q, 2, 0, 0)
		p := get(t, b, q) // a retry enters anew, what is released does not
		must(t, p.Settle(messaging.RetryAfter(time.Second, nil)))
		p = get(t, b, q)
		must(t, p.Settle(messaging.Requeue(nil)))
		time.Sleep(10*time.Second - 1)
		expectInfo(t, b, q, 2, 0, 0)
		time.Sleep(time.Nanosecond)
		expectInfo(t, b, q, 1, 0, 0)
		time.Sleep(time.Second)
		expectInfo(t, b, q, 0, 0, 0)
	})
}

func TestPurgeAndDeleteWithTimersRunning(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		must(t, b.Publish(t.Context(), work,
			&messaging.Message{TTL: time.Second}, &messaging.Message{}, &messaging.Message{Delay: time.Minute}))
		held := get(t, b, work)
		n, err := b.Purge(t.Context(), work)
		must(t, err)
		if n != 1 {
			t.Errorf("purged %d, want 1", n)
		}
		expectInfo(t, b, work, 0, 1, 0)
		must(t, held.Settle(messaging.Requeue(nil)))
		time.Sleep(time.Second)
		expectInfo(t, b, work, 0, 0, 0)
		time.Sleep(time.Minute)
		expectInfo(t, b, work, 1, 0, 0)

		must(t, b.Publish(t.Context(), work, &messaging.Message{Delay: time.Minute}))
		must(t, b.Delete(t.Context(), work))
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
		time.Sleep(time.Hour)
		expectInfo(t, b, work, 0, 0, 0)
	})
}
