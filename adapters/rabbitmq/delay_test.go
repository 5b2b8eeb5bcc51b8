package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestDelayIsKept publishes many delays at once, the long ones first: none
// comes early, none is a second late, and none waits behind another.
func TestDelayIsKept(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	var delays []time.Duration
	for d := 3 * time.Second; d > 0; d -= 70 * time.Millisecond {
		delays = append(delays, d)
	}
	if err := b.openWay(t.Context(), q, delays[0]); err != nil { // declares the levels, once for all
		t.Fatal(err)
	}
	publish(t, b, q, &messaging.Message{Delay: time.Millisecond})
	var msgs []*messaging.Message
	for _, d := range delays {
		msgs = append(msgs, &messaging.Message{Delay: d, Body: []byte(d.String())})
	}
	got := make(chan messaging.Delivery, 100)
	subscribe(t, b, messaging.Source{Address: q}, collect(got))
	next(t, got, "the first message")
	start := time.Now()
	publish(t, b, q, msgs...)
	var worst time.Duration
	for range delays {
		d := next(t, got, "a delayed message")
		want, err := time.ParseDuration(string(d.Body))
		if err != nil {
			t.Fatal(err)
		}
		late := time.Since(start) - want
		worst = max(worst, late)
		if late < 0 || late > time.Second {
			t.Errorf("a delay of %s was %s late", want, late)
		}
		if len(d.Headers) != 0 || d.Delay != 0 || d.TTL != 0 || d.Attempt != 1 || d.Redelivered {
			t.Errorf("the wait has left traces: %+v", d)
		}
	}
	t.Logf("%d delays of up to %s, the worst was %s late", len(delays), delays[0], worst)
}

func TestDelayUnroutable(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{Delay: time.Millisecond})
	if err := b.Delete(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	err := b.Publish(t.Context(), q, &messaging.Message{Delay: time.Millisecond}, &messaging.Message{})
	var failed *messaging.PublishError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 || !errors.Is(failed.Failed[0].Err, messaging.ErrUnroutable) || !errors.Is(failed.Failed[1].Err, messaging.ErrUnroutable) {
		t.Errorf("to a queue that is gone: %v", err)
	}
}

// TestDelayQueueMadeAgain: a queue that was deleted and declared again has lost
// its binding at the end of the wait queues.
func TestDelayQueueMadeAgain(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{Delay: time.Millisecond, Body: []byte("first")})
	ch := rawChannel(t, rabbitmqtest.URL(t)) // somebody else does it
	if _, err := ch.QueueDelete(q.Name(), false, false, false); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(q.Name(), true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, b, q, &messaging.Message{Delay: time.Millisecond, Body: []byte("found")})
	got := make(chan messaging.Delivery, 2)
	subscribe(t, b, messaging.Source{Address: q}, collect(got))
	for string(next(t, got, "the delayed message").Body) != "found" { // the first may have found the new queue as well
	}
}

// TestDelaySurvivesRestart: what waits is on disk.
func TestDelaySurvivesRestart(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b := openAt(t, node.URL())
	q := declare(t, b)
	var want []string
	for i, m := range texts("m", 20) {
		m.Delay = time.Duration(i%4+1) * 2 * time.Second
		publish(t, b, q, m)
		want = append(want, string(m.Body))
	}
	declare(t, b) // a crash of RabbitMQ 3.10 loses what is in the quorum queue that was declared last
	node.Kill()
	if err := node.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := make(chan messaging.Delivery, 100)
	subscribe(t, b, messaging.Source{Address: q}, collect(got))
	seen := map[string]bool{}
	for len(seen) < len(want) {
		d := next(t, got, fmt.Sprintf("all delayed messages; of %v came %v", want, seen))
		seen[string(d.Body)] = true
	}
}

// TestRetriesKeepForeignMessages: a message of another program goes through
// several waits, and comes out as it was, but for the count.
func TestRetriesKeepForeignMessages(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	ch := rawChannel(t, rabbitmqtest.URL(t))
	raw := odd()
	p := publishingOf(&raw)
	delete(p.Headers, headerUserID)
	p.UserId = "guest"
	if err := ch.PublishWithContext(t.Context(), "", q.Name(), false, false, p); err != nil {
		t.Fatal(err)
	}
	got := make(chan messaging.Delivery, 10)
	fail := func(_ context.Context, d *messaging.Delivery) error {
		got <- *d
		return errors.New("again")
	}
	src := messaging.Source{Address: q, Retry: messaging.Retry{MaxAttempts: 4, Min: time.Millisecond, Max: 300 * time.Millisecond}}
	subscribe(t, b, src, fail)
	first := next(t, got, "the first attempt")
	for attempt := 2; attempt <= 4; attempt++ {
		d := next(t, got, "another attempt")
		if d.Attempt != attempt || !d.Redelivered {
			t.Errorf("attempt %d, redelivered %t; want attempt %d", d.Attempt, d.Redelivered, attempt)
		}
		d.Attempt, d.Redelivered = first.Attempt, first.Redelivered
		if fmt.Sprint(d) != fmt.Sprint(first) {
			t.Errorf("attempt %d:\n\t%v\nthe first:\n\t%v", attempt, d, first)
		}
	}
	letters := rawLetters(t, ch, q.Name()+".dead")
	dead := <-letters
	dead.UserId = "guest" // the copy may not say so; it has a header
	if dead.Headers[headerUserID] != "guest" {
		t.Errorf("the user is lost: %v", dead.Headers)
	}
	delete(dead.Headers, headerUserID)
	for key := range messaging.DeadLetterHeaders(q, 1, messaging.Decision{}) {
		if dead.Headers[key] == nil {
			t.Errorf("header %s is missing", key)
		}
		delete(dead.Headers, key)
	}
	want := odd()
	if g, w := fmt.Sprintf("%#v", publishingOf(&dead)), fmt.Sprintf("%#v", publishingOf(&want)); g != w {
		t.Errorf("the dead letter is\n\t%s\nwant\n\t%s", g, w)
	}
}

// TestManyRetriesAtOnce: failing messages hold up nobody, and all end in the
// dead letters, each once.
func TestManyRetriesAtOnce(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	const n = 300
	publish(t, b, q, texts("bad", n)...)
	publish(t, b, q, texts("good", n)...)
	var mu sync.Mutex
	attempts := map[string][]int{}
	good := make(chan messaging.Delivery, n)
	handle := func(_ context.Context, d *messaging.Delivery) error {
		if string(d.Body[:4]) == "good" {
			good <- *d
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		attempts[d.ID] = append(attempts[d.ID], d.Attempt)
		return errors.New("always")
	}
	src := messaging.Source{Address: q, Concurrency: 4, Retry: messaging.Retry{MaxAttempts: 3, Min: 100 * time.Millisecond, Max: 400 * time.Millisecond}}
	sub := subscribe(t, b, src, handle)
	for range n {
		next(t, good, "a good message")
	}
	letters := make(chan messaging.Delivery, 2*n)
	subscribe(t, b, messaging.Source{Address: messaging.Queue(q.Name() + ".dead")}, collect(letters))
	seen := map[string]bool{}
	for range n {
		d := next(t, letters, "a dead letter")
		if seen[d.ID] {
			t.Errorf("%s is dead twice", d.ID)
		}
		seen[d.ID] = true
	}
	if err := sub.stop(); err != nil {
		t.Error(err)
	}
	for id, list := range attempts {
		if !slices.Equal(list, []int{1, 2, 3}) {
			t.Errorf("%s had attempts %v", id, list)
		}
	}
	empty(t, b, q)
}

// TestWayMadeAgain: somebody deletes exchanges that delayed messages pass. The
// retries that come later find their way.
func TestWayMadeAgain(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b := openAt(t, node.URL())
	q := declare(t, b)
	got := make(chan messaging.Delivery, 10)
	subscribe(t, b, messaging.Source{Address: q, Concurrency: 4}, func(_ context.Context, d *messaging.Delivery) error {
		if d.Attempt == 1 {
			return messaging.RetryAfter(100*time.Millisecond, errors.New("on purpose"))
		}
		got <- *d
		return nil
	})
	publish(t, b, q, texts("m", 1)...)
	next(t, got, "the way, to be open")
	ch := rawChannel(t, node.URL())
	for _, exchange := range []string{levelName(0), delayDeliver} {
		if err := ch.ExchangeDelete(exchange, false, false); err != nil {
			t.Fatal(err)
		}
		publish(t, b, q, texts("m", 1)...)
		if exchange == levelName(0) {
			next(t, got, "a retry, without the exchange "+exchange)
		}
	}
	time.Sleep(wayTrusted) // what the consumer has seen is no longer trusted; nothing tells of that
	publish(t, b, q, texts("m", 1)...)
	next(t, got, "a retry, without the exchange "+delayDeliver)
}
