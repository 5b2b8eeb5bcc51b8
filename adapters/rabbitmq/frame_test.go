package rabbitmq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// largest is a message that could not have larger properties and headers.
func largest() *messaging.Message {
	long := strings.Repeat("p", messaging.MaxShort)
	return &messaging.Message{ID: long, Type: long, ContentType: long, CorrelationID: long, ReplyTo: long, Key: long,
		Headers: map[string]string{"h": strings.Repeat("x", messaging.MaxHeadersSize-7)}, TTL: time.Hour}
}

// TestGrowthOfHeaders: what the broker adds to a message that waits at several
// levels is less than the room that is left for it, so that others can read it.
func TestGrowthOfHeaders(t *testing.T) {
	t.Parallel()
	b := open(t)
	q := declare(t, b, func(q *messaging.QueueSpec) { q.Name += strings.Repeat("q", messaging.MaxShort-len(q.Name)) })
	m := largest()
	m.Delay = 700 * time.Millisecond // three levels
	publish(t, b, q, m)
	raw := next(t, rawLetters(t, rawChannel(t, rabbitmqtest.URL(t)), q.Name()), "the message, to a program with the usual limit")
	deaths, _ := raw.Headers[metadata.Death].([]any)
	if len(deaths) != 3 {
		t.Fatalf("x-death has %d entries", len(deaths))
	}
	longest := 0
	for _, death := range deaths {
		longest = max(longest, fieldSize(death))
	}
	rest := 0
	for key, value := range raw.Headers {
		if metadata.IsDeath(key) && key != metadata.Death {
			rest += 1 + len(key) + fieldSize(value)
		}
	}
	dead := 0
	for key := range messaging.DeadLetterHeaders(q, 1, messaging.Decision{}) {
		dead += 1 + len(key) + 5
	}
	worst := (maxLevel+1)*longest + rest + dead + 1024 + 3*messaging.MaxShort
	t.Logf("an entry of x-death has up to %d bytes; at worst there are added %d", longest, worst)
	if worst > growth {
		t.Errorf("at worst, %d bytes are added; room is left for %d", worst, growth)
	}
}

// fullFrame publishes as another program does a message whose headers fill a
// frame.
func fullFrame(t *testing.T, url, queue string) {
	t.Helper()
	p := amqp.Publishing{Headers: amqp.Table{"big": ""}, Body: []byte("big")}
	p.Headers["big"] = strings.Repeat("x", frameSize-contentHeaderSize(&p))
	ch := rawChannel(t, url)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, p)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := confirm.WaitContext(t.Context()); err != nil || !stored {
		t.Fatal("the broker does not take a full frame:", err)
	}
}

// TestFullFrame: what another program's message has no room for does no harm to
// it, to the connection or to other subscriptions; it is dead-lettered once.
func TestFullFrame(t *testing.T) {
	t.Parallel()
	onEachType(t, func(t *testing.T, url string) {
		b := openAt(t, url)
		q := declare(t, b)
		since := b.Health().Since
		handled := make(chan messaging.Delivery, 10)
		requeued := false
		sub := subscribe(t, b, messaging.Source{Address: q, Retry: messaging.Retry{Min: time.Millisecond}},
			func(_ context.Context, d *messaging.Delivery) error {
				if !requeued { // the broker then adds x-delivery-count to what is full already
					requeued = true
					return messaging.Requeue(nil)
				}
				handled <- *d
				return errors.New(strings.Repeat("e", 2000))
			})
		fullFrame(t, url, q.Name())
		next(t, handled, "the message, after its return to the queue")
		dead := messaging.Queue(q.Name() + ".dead")
		counts(t, b, dead, 1, -1)
		if err := sub.stop(); err != nil {
			t.Error(err)
		}
		if h := b.Health(); h.State != messaging.Connected || !h.Since.Equal(since) || h.LastError != nil || len(handled) > 0 {
			t.Errorf("the message did harm: %v, handled %d times more", h, len(handled))
		}
		for range 3 { // it can be looked at, and kept
			p, err := b.Get(t.Context(), messaging.Source{Address: dead})
			if err != nil {
				t.Fatal(err)
			}
			if string(p.Body) != "big" {
				t.Errorf("the dead letter has the body %q", p.Body)
			}
			if err := p.Settle(messaging.Requeue(nil)); err != nil {
				t.Fatal(err)
			}
			counts(t, b, dead, 1, -1)
		}
	})
}

// TestDeadCopyFits: the sender's headers stay, and of ours what there is room
// for.
func TestDeadCopyFits(t *testing.T) {
	t.Parallel()
	dec := messaging.Decision{Reason: messaging.ReasonAttempts, Err: errors.New(strings.Repeat("é", 400))}
	for room := range 1500 {
		j := &job{raw: amqp.Delivery{Headers: amqp.Table{"big": "", metadata.Death: []any{"record"}}}}
		p := publishingOf(&j.raw)
		big := strings.Repeat("x", frameSize-contentHeaderSize(&p)-room)
		j.raw.Headers["big"] = big
		p = deadCopy(j, messaging.Queue("q"), dec)
		if err := checkFrame(&p, frameSize); err != nil {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
		if p.Headers["big"] != big || p.Headers[metadata.Death] == nil {
			t.Fatalf("with room for %d bytes, a header of another's is gone", room)
		}
		if room > 40 && p.Headers[messaging.HeaderDeadReason] != messaging.ReasonAttempts {
			t.Fatalf("with room for %d bytes, the reason is missing", room)
		}
	}
}
