package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// killOff makes dead letters of n messages that are in q.
func killOff(t testing.TB, b *Broker, q messaging.Address, n int) messaging.Address {
	t.Helper()
	dead := messaging.Queue(q.Name() + ".dead")
	sub := subscribe(t, b, messaging.Source{Address: q, Concurrency: 16}, func(context.Context, *messaging.Delivery) error {
		return messaging.Reject(errors.New("on purpose"))
	})
	holds(t, b, dead, n)
	if err := sub.stop(); err != nil {
		t.Fatal(err)
	}
	return dead
}

// TestRedriveLosesNothing: a message of another program is after its return
// what it was before it died, with every type of AMQP.
func TestRedriveLosesNothing(t *testing.T) {
	onEachType(t, func(t *testing.T, url string) {
		b := openAt(t, url)
		q := declare(t, b)
		ch := rawChannel(t, url)
		raw := odd()
		p := publishingOf(&raw)
		if err := ch.PublishWithContext(t.Context(), "", q.Name(), false, false, p); err != nil {
			t.Fatal(err)
		}
		dead := killOff(t, b, q, 1)
		if n, err := messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{}); n != 1 || err != nil {
			t.Fatalf("redrive moved %d: %v", n, err)
		}
		back := next(t, rawLetters(t, ch, q.Name()), "the redriven message")
		if got, want := fmt.Sprintf("%#v", publishingOf(&back)), fmt.Sprintf("%#v", p); got != want {
			t.Errorf("came back as\n\t%s\nwas\n\t%s", got, want)
		}
		empty(t, b, dead)
	})
}

// TestRedriveToAFullQueue: what is refused stays a dead letter, as it was.
func TestRedriveToAFullQueue(t *testing.T) {
	b := openAt(t, rabbitmqtest.URL(t)+"?queue_type=classic&reject_timeout=100ms")
	q := declare(t, b)
	full := declare(t, b, func(q *messaging.QueueSpec) { q.MaxLength = 1 })
	publish(t, b, q, texts("m", 3)...)
	dead := killOff(t, b, q, 3)
	n, err := messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{To: full})
	if n != 1 || !errors.Is(err, messaging.ErrRejected) {
		t.Errorf("redrive to a queue with room for one moved %d: %v", n, err)
	}
	holds(t, b, dead, 2)
	if n, err = messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{}); n != 2 || err != nil {
		t.Errorf("redrive of the others moved %d: %v", n, err)
	}
	holds(t, b, q, 2)
}

// TestRedriveHoldsMany: what the filter refuses is held, and takes no channel
// each, of which a connection has 2,047.
func TestRedriveHoldsMany(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	const n = 2200
	publish(t, b, q, texts("m", n)...)
	dead := killOff(t, b, q, n)
	last := fmt.Sprint("m", n-1)
	moved, err := messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{
		Filter: func(d *messaging.Delivery) bool { return string(d.Body) == last },
	})
	if moved > 1 || err != nil { // concurrent handlers may have moved it
		t.Errorf("redrive moved %d: %v", moved, err)
	}
	holds(t, b, dead, n-moved)
}
