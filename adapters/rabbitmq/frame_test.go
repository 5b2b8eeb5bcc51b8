package rabbitmq

import (
	"context"
	"errors"
	"fmt"
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

// publishRaw publishes p as another program does.
func publishRaw(t *testing.T, url, queue string, p amqp.Publishing) {
	t.Helper()
	ch := rawChannel(t, url)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", queue, true, false, p)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := confirm.WaitContext(t.Context()); err != nil || !stored {
		t.Fatal("the broker does not take it:", err)
	}
}

// TestMoreThanAFrame: headers that do not fit into a frame cannot come from
// anybody. RabbitMQ closes the connection that brings them.
func TestMoreThanAFrame(t *testing.T) {
	t.Parallel()
	ch := rawChannel(t, rabbitmqtest.SharedNode(t).URL())
	q := declare(t, open(t))
	p := filledUp(amqp.Table{}, frameSize+frameFudge+1)
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	_ = ch.PublishWithContext(t.Context(), "", q.Name(), true, false, p) // RabbitMQ may be faster than the body
	if err := next(t, closed, "RabbitMQ to refuse a frame that is too large"); err.Code != amqp.FrameError {
		t.Errorf("the connection was closed with %v", err)
	}
}

// TestLargerFrames: where the broker's frame_max is raised, what others send
// with it passes through as well.
func TestLargerFrames(t *testing.T) {
	t.Parallel()
	const frameMax = 256 << 10
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{Config: fmt.Sprintf("frame_max = %d", frameMax)})
	b := openAt(t, node.URL())
	for name, size := range map[string]int{"more than 128 KiB": 129 << 10, "full frame": frameMax + frameFudge} {
		t.Run(name, func(t *testing.T) {
			passesThrough(t, b, node.URL(), filledUp(amqp.Table{}, size), frameMax+frameFudge)
		})
	}
}

// TestSmallerFrames: where the broker's frame_max is lower, headers that do not
// fit are refused, and do not cost the connection.
func TestSmallerFrames(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{Config: "frame_max = 16384"})
	lines, log := newTestLog(t)
	b := openAt(t, node.URL(), WithLogger(log))
	q := declare(t, b)
	err := b.Publish(t.Context(), q,
		&messaging.Message{ID: "small", Headers: map[string]string{"k": strings.Repeat("x", 8000)}},
		&messaging.Message{ID: "large", Headers: map[string]string{"k": strings.Repeat("x", 17000)}})
	var failed *messaging.PublishError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].ID != "large" || !errors.Is(err, messaging.ErrTooLarge) {
		t.Errorf("error is %v, want ErrTooLarge for large alone", err)
	}
	holds(t, b, q, 1)
	if text := lines.String(); strings.Contains(text, "lost the connection") {
		t.Errorf("the connection was lost:\n%s", text)
	}
}

// TestTooManyHeaders: more headers than amqp091-go reads cost the connection that
// consumes, again and again, until somebody removes the message. Who publishes
// does not notice.
func TestTooManyHeaders(t *testing.T) {
	t.Parallel()
	b := open(t)
	q := declare(t, b)
	publishRaw(t, rabbitmqtest.URL(t), q.Name(), amqp.Publishing{Headers: manyHeaders(maxHeaders + 1)})
	got := make(chan messaging.Delivery, 10)
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- b.Subscribe(ctx, messaging.Source{Address: q}, collect(got)) }()
	healthy(t, b, "troubled", func(h messaging.Health) bool {
		return h.LastError != nil && strings.Contains(h.LastError.Error(), "invalid field or value inside of a frame")
	})
	other := declare(t, open(t))
	publish(t, b, other, texts("m", 10)...)
	ch := rawChannel(t, rabbitmqtest.URL(t))
	for removed := 0; removed == 0; { // it is held by a consumer most of the time
		n, err := ch.QueuePurge(q.Name(), false)
		if err != nil {
			t.Fatal(err)
		}
		removed += n
	}
	publish(t, b, q, &messaging.Message{ID: "next"})
	if d := next(t, got, "the next message"); d.ID != "next" {
		t.Errorf("received %+v", d)
	}
	cancel()
	if err := next(t, returned, "Subscribe"); err != nil {
		t.Error(err)
	}
}

// TestFullFrame: what another program's message has no room for does no harm to
// it, to the connection or to other subscriptions; it is dead-lettered once.
func TestFullFrame(t *testing.T) {
	t.Parallel()
	onEachType(t, func(t *testing.T, url string) {
		b := openAt(t, url)
		q := declare(t, b)
		full := filledUp(amqp.Table{}, frameSize+frameFudge)
		full.Body = []byte("big")
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
		publishRaw(t, url, q.Name(), full)
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
		p = deadCopy(j, messaging.Queue("q"), dec, frameSize)
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
