package memory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

var events = messaging.Topic("events")

// group binds a group of events and returns it.
func group(t *testing.T, b *memory.Broker, name string, keys ...string) messaging.Source {
	t.Helper()
	src := messaging.Source{Address: events, Group: name, Keys: keys}
	must(t, b.Bind(context.Background(), src))
	return src
}

func publishKeys(t *testing.T, b *memory.Broker, keys ...string) {
	t.Helper()
	for _, key := range keys {
		must(t, b.Publish(context.Background(), events, &messaging.Message{Key: key, Body: []byte(key)}))
	}
}

func TestGroupIsAQueue(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		src := group(t, b, "g", "order.*")
		publishKeys(t, b, "order.eu", "order", "other.eu")
		expectInfo(t, b, messaging.Queue("events.g"), 1, 0, 0)

		p, err := b.Get(t.Context(), src)
		must(t, err)
		if p.From != events || p.Key != "order.eu" {
			t.Errorf("got %+v", p.Delivery)
		}
		must(t, p.Settle(messaging.Requeue(nil)))
		p = get(t, b, src.Queue()) // by its name, it is from the queue
		if p.From != src.Queue() || p.Key != "order.eu" {
			t.Errorf("got %+v", p.Delivery)
		}
		must(t, p.Settle(nil))
	})
}

func TestBindingsAddUp(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		src := group(t, b, "g", "a")
		group(t, b, "g", "b", "b")
		r := subscribe(t, b, messaging.Source{Address: events, Group: "g", Keys: []string{"c"}}, newStation().accept)
		r.end()
		publishKeys(t, b, "a", "b", "c", "d")
		expectTexts(t, b, src.Queue(), "a b c")

		must(t, b.Delete(t.Context(), src.Queue())) // with its bindings
		group(t, b, "g", "d")
		publishKeys(t, b, "a", "b", "c", "d")
		expectTexts(t, b, src.Queue(), "d")
	})
}

func TestDeletedGroupResumesWithItsKeys(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s := newStation()
		src := messaging.Source{Address: events, Group: "g", Keys: []string{"a"}}
		group(t, b, "g", "b")
		r := subscribe(t, b, src, s.accept)
		publishKeys(t, b, "a", "b")
		s.expect(t, "a b")
		must(t, b.Delete(t.Context(), src.Queue()))
		synctest.Wait()
		publishKeys(t, b, "a", "b")
		s.expect(t, "a b a")
		r.end()
	})
}

func TestDeletedTopicLeavesItsQueues(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		src := group(t, b, "g")
		other := messaging.Source{Address: messaging.Topic("other"), Group: "g"}
		must(t, b.Bind(t.Context(), other))
		publishKeys(t, b, "kept")
		must(t, b.Publish(t.Context(), events, &messaging.Message{Delay: time.Second}))
		must(t, b.Delete(t.Context(), messaging.Topic("none")))
		must(t, b.Delete(t.Context(), messaging.Queue("events"))) // which is another address
		must(t, b.Delete(t.Context(), events))
		publishKeys(t, b, "to nobody")
		time.Sleep(time.Minute)
		expectTexts(t, b, src.Queue(), "kept")
		publish(t, b, other.Address, "still bound")
		expectTexts(t, b, other.Queue(), "still bound")

		group(t, b, "g", "new")
		publishKeys(t, b, "new", "old")
		expectTexts(t, b, src.Queue(), "new")
	})
}

func TestPrivateSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s := newStation()
		src := messaging.Source{Address: events, Keys: []string{"a.#"}}
		r := subscribe(t, b, src, s.accept)
		other := subscribe(t, b, src, s.accept)
		publishKeys(t, b, "a", "b", "a.b")
		if got := strings.Fields(s.texts()); len(got) != 4 || slices.Contains(got, "b") {
			t.Errorf("handled %q", got)
		}
		other.end()
		b.CancelConsumers(events) // is no queue
		b.Disconnect()
		b.Reconnect()
		synctest.Wait()
		if n := r.readyTimes(); n != 2 {
			t.Errorf("Ready was called %d times, want 2", n)
		}
		publishKeys(t, b, "a.c")
		if got := s.texts(); !strings.HasSuffix(got, " a.c") {
			t.Errorf("handled %q", got)
		}
		r.end()
		publishKeys(t, b, "a")
		if n := memory.Queues(b); n != 2 {
			t.Errorf("%d queues are left, want work and events.dead", n)
		}
	})
}

func TestPrivateDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		r := subscribe(t, b, messaging.Source{Address: events}, func(context.Context, *messaging.Delivery) error {
			return messaging.Reject(errors.New("no"))
		})
		publishKeys(t, b, "a")
		p := get(t, b, messaging.Queue("events.dead"))
		if got := p.Headers[messaging.HeaderDeadFrom]; got != "queue:events" {
			t.Errorf("from %q", got)
		}
		must(t, p.Settle(nil))
		r.end()
	})
}

func TestDelayedMessageIsRoutedWhenItsTimeHasCome(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		send := func(text string, delay, ttl time.Duration) {
			must(t, b.Publish(t.Context(), events, &messaging.Message{Body: []byte(text), Delay: delay, TTL: ttl}))
		}
		send("nobody declared the topic", time.Second, 0)
		before := group(t, b, "before")
		send("1", time.Second, 0)
		send("2", time.Second, 0)
		send("first", time.Second/2, time.Minute)
		send("stale", time.Second, time.Second/2)
		expectInfo(t, b, before.Queue(), 0, 0, 0)
		after := group(t, b, "after")
		must(t, b.Delete(t.Context(), before.Queue()))
		time.Sleep(time.Second)
		expectTexts(t, b, after.Queue(), "first 1 2")
	})
}

func TestManyDelayedMessagesKeepTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		src := group(t, b, "g")
		const n = 1000 // more than the timer takes at once
		for i := range n {
			must(t, b.Publish(t.Context(), events, &messaging.Message{Body: fmt.Append(nil, i), Delay: time.Second}))
		}
		time.Sleep(time.Second)
		expectTexts(t, b, src.Queue(), strings.Join(numbered(n), " "))
	})
}

func TestFullGroupRefusesAndTheOthersStore(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "events.full", MaxLength: 1}))
		full, free := group(t, b, "full"), group(t, b, "free")
		err := b.Publish(t.Context(), events, messages("a", "b")...)
		mustBe(t, err, messaging.ErrRejected)
		if failed(err) != "1" || !strings.Contains(err.Error(), "queue:events.full") {
			t.Error(err)
		}
		expectTexts(t, b, full.Queue(), "a")
		expectTexts(t, b, free.Queue(), "a b")
	})
}

func TestTopicRefusesWhatIsNotForTopics(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		private := messaging.Source{Address: events}
		_, inspect := b.Inspect(t.Context(), events)
		_, purge := b.Purge(t.Context(), events)
		_, got := b.Get(t.Context(), private)
		for err, want := range map[error]string{
			b.Bind(t.Context(), private):                                                               "name the group",
			b.Bind(t.Context(), messaging.Source{Address: work}):                                       "only a topic has groups",
			b.Bind(t.Context(), messaging.Source{}):                                                    "Source.Address",
			b.Bind(t.Context(), messaging.Source{Address: events, Group: "g", Keys: []string{"a..b"}}): "empty word",
			inspect: "name the queue of a group, queue:events.GROUP",
			purge:   "name the queue of a group, queue:events.GROUP",
			got:     "name a group",
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one with %q", err, want)
			}
		}
		_, err := b.Get(t.Context(), messaging.Source{Address: events, Group: "none"})
		mustBe(t, err, messaging.ErrNotFound)
		mustBe(t, b.Inject(events, messaging.Message{}), messaging.ErrUnroutable)
	})
}

func TestBindWhileDisconnected(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		b.Disconnect()
		bound := make(chan error, 1)
		go func() { bound <- b.Bind(context.Background(), messaging.Source{Address: events, Group: "g"}) }()
		synctest.Wait()
		b.Reconnect()
		must(t, <-bound)
		publishKeys(t, b, "a")
		expectInfo(t, b, messaging.Queue("events.g"), 1, 0, 0)
	})
}

func TestClosedBrokerHasNoTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		group(t, b, "g")
		must(t, b.Publish(t.Context(), events, &messaging.Message{Delay: time.Second}))
		must(t, b.Close(t.Context()))
		mustBe(t, b.Bind(t.Context(), messaging.Source{Address: events, Group: "g"}), messaging.ErrClosed)
		time.Sleep(time.Minute)
	})
}
