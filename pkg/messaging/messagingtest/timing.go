package messagingtest

import (
	"fmt"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

var timing = []Case{
	{Rule: "C14", Name: "C14_delay", run: c14Delay,
		Text: "a delayed message comes no sooner than its Delay, within the adapter's accuracy, and holds up no other"},
	{Rule: "C14", Name: "C14_ttl", run: c14TTL,
		Text: "a message older than its TTL is not delivered"},
	{Rule: "C14", Name: "C14_queue_ttl", run: c14QueueTTL,
		Text: "a message that has waited for longer than its queue's TTL is not delivered"},
	{Rule: "C14", Name: "C14_ttl_counts_delay", run: c14TTLAndDelay,
		Text: "TTL counts from publishing: a message whose TTL is over before its Delay is never delivered"},
}

func c14Delay(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	const short, long = 400 * time.Millisecond, 900 * time.Millisecond
	start := time.Now()
	if err := e.publish(q,
		&messaging.Message{Delay: long, Body: []byte("long")},
		&messaging.Message{Delay: short, Body: []byte("short")},
		text("at once"),
	); err != nil {
		return err
	}
	in := newInbox()
	s, err := e.subscribe(messaging.Source{Address: q}, in.accept)
	if err != nil {
		return err
	}
	for _, want := range []struct {
		body  string
		delay time.Duration
	}{{"at once", 0}, {"short", short}, {"long", long}} {
		d, err := e.next(in)
		if err != nil {
			return err
		}
		if string(d.Body) != want.body {
			return fmt.Errorf("%q came where %q was due", d.Body, want.body)
		}
		took := time.Since(start)
		if took < want.delay || want.delay > 0 && took > want.delay+e.h.Accuracy+e.h.Slack {
			return fmt.Errorf("%q with a delay of %s came after %s", want.body, want.delay, took)
		}
		if d.Attempt != 1 {
			return fmt.Errorf("%q has Attempt %d on its first delivery", want.body, d.Attempt)
		}
	}
	return s.stop()
}

// pass waits until d is over, as the broker sees it: until a message with that
// delay has come through a queue of its own.
func (e *env) pass(d time.Duration) error {
	clock, err := e.queue()
	if err != nil {
		return err
	}
	if err := e.publish(clock, &messaging.Message{Delay: d, Body: []byte("now")}); err != nil {
		return err
	}
	_, err = e.receive(clock, 1)
	return err
}

func c14TTL(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	if err := e.publish(q, &messaging.Message{TTL: 200 * time.Millisecond, Body: []byte("stale")},
		&messaging.Message{TTL: time.Hour, Body: []byte("fresh")}); err != nil {
		return err
	}
	return e.onlyFreshAfter(200*time.Millisecond, q)
}

func c14QueueTTL(e *env) error {
	q, err := e.queue(func(s *messaging.QueueSpec) { s.TTL = 200 * time.Millisecond })
	if err != nil {
		return err
	}
	if err := e.publish(q, text("stale")); err != nil {
		return err
	}
	if err := e.pass(200*time.Millisecond + e.h.Accuracy); err != nil {
		return err
	}
	return e.empty(q)
}

func c14TTLAndDelay(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	in := newInbox() // from the start: what lives for a moment after its delay is seen too
	if _, err := e.subscribe(messaging.Source{Address: q}, in.accept); err != nil {
		return err
	}
	if err := e.publish(q, &messaging.Message{TTL: 100 * time.Millisecond, Delay: 300 * time.Millisecond, Body: []byte("stale")},
		&messaging.Message{TTL: time.Hour, Delay: 200 * time.Millisecond, Body: []byte("fresh")}); err != nil {
		return err
	}
	if err := e.pass(300*time.Millisecond + e.h.Accuracy); err != nil {
		return err
	}
	got, err := e.last(in, q)
	if err != nil {
		return err
	}
	return same(got, []string{"fresh"})
}

// onlyFreshAfter checks that after d, q has the message "fresh" and no other.
func (e *env) onlyFreshAfter(d time.Duration, q messaging.Address) error {
	if err := e.pass(d + e.h.Accuracy); err != nil {
		return err
	}
	got, err := e.receive(q, 1)
	if err != nil {
		return err
	}
	if err := same(got, []string{"fresh"}); err != nil {
		return err
	}
	return e.empty(q)
}
