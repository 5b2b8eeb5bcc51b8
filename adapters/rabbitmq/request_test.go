package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// responder answers on a queue of its own, each request with its body twice.
func responder(t testing.TB, b *Broker) messaging.Address {
	t.Helper()
	q := declare(t, b)
	subscribe(t, b, messaging.Source{Address: q, Concurrency: 16}, messaging.Respond(b, double))
	return q
}

func double(_ context.Context, d *messaging.Delivery) (*messaging.Message, error) {
	if len(d.Body) == 0 {
		return nil, errors.New("there is nothing to double")
	}
	return &messaging.Message{Body: append(d.Body, d.Body...)}, nil
}

func ask(b messaging.Broker, r *messaging.Requester, to messaging.Address, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	var reply *messaging.Delivery
	var err error
	if m := (&messaging.Message{Body: []byte(body)}); r != nil {
		reply, err = r.Request(ctx, to, m)
	} else {
		reply, err = messaging.Request(ctx, b, to, m)
	}
	if err == nil && string(reply.Body) != body+body {
		err = fmt.Errorf("the reply to %q is %q", body, reply.Body)
	}
	return err
}

// TestRequest: many requests share one reply queue, which is gone when the
// Requester is closed, and a failing responder is an error.
func TestRequest(t *testing.T) {
	onEachType(t, func(t *testing.T, url string) {
		log, logger := newTestLog(t)
		b := openAt(t, url, WithLogger(logger))
		to := responder(t, openAt(t, url))
		r := messaging.NewRequester(b)
		var callers sync.WaitGroup
		for i := range 500 {
			callers.Go(func() {
				if err := ask(b, r, to, fmt.Sprint("m", i)); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		var failed *messaging.ReplyError
		if err := ask(b, r, to, ""); !errors.As(err, &failed) || failed.Text != "there is nothing to double" {
			t.Errorf("a responder's error arrives as %v", err)
		}
		if n := strings.Count(log.String(), "msg=subscribed"); n != 1 {
			t.Errorf("%d reply queues", n)
		}
		specs := b.exclusiveSpecs()
		if len(specs) != 1 {
			t.Fatalf("the exclusive queues are %v", specs)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		for _, name := range []string{specs[0].Name, specs[0].Name + ".dead"} {
			if _, err := b.Inspect(t.Context(), messaging.Queue(name)); !errors.Is(err, messaging.ErrNotFound) {
				t.Errorf("left over: %s (%v)", name, err)
			}
		}
		if left := b.exclusiveSpecs(); len(left) != 0 {
			t.Errorf("on the next connection there would be %v", left)
		}
	})
}

// TestRequestAfterCut: when the connections break while nobody waits, the next
// request gets its reply, whichever of them breaks.
func TestRequestAfterCut(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, host(t))
	b := openAt(t, viaProxy(proxy, node.URL(), "connection_name="+t.Name()))
	to := responder(t, openAt(t, node.URL()))
	r := messaging.NewRequester(b)
	defer r.Close()
	closeRole := func(role string) func() {
		return func() {
			if _, err := node.CloseConnection(t.Name() + " " + role); err != nil {
				t.Error(err)
			}
		}
	}
	for name, c := range map[string]struct {
		cut     func()
		replies bool // the reply queue goes
	}{
		"both":          {func() { proxy.Cut() }, true},
		"both in order": {func() { proxy.CloseFIN() }, true},
		"consuming":     {closeRole(roleConsume), true},
		"publishing":    {closeRole(rolePublish), false},
	} {
		for round := range 10 {
			if err := ask(b, r, to, "before"); err != nil {
				t.Fatal(name, round, err)
			}
			g, err := b.consumeLink().await(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.cut()
			if c.replies { // a request that is sent before anybody has noticed is a request in flight
				next(t, g.lost, "the loss of the connection")
			}
			start := time.Now()
			if err := ask(b, r, to, "after"); err != nil {
				t.Fatalf("%s, round %d: after %s: %v", name, round, time.Since(start), err)
			}
		}
	}
}

// TestRequestAfterRestart: the broker forgets the reply queue, and all that is
// told to it again.
func TestRequestAfterRestart(t *testing.T) {
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b := openAt(t, node.URL()+"?queue_type=classic")
	to := responder(t, b)
	if err := ask(b, nil, to, "before"); err != nil {
		t.Fatal(err)
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ask(b, nil, to, "after"); err != nil {
		t.Fatal(err)
	}
}

// TestRequestClosed: who waits for a reply when the Broker is closed hears so.
func TestRequestClosed(t *testing.T) {
	b := open(t)
	to := declare(t, b)
	answer := make(chan error, 1)
	go func() { answer <- ask(b, nil, to, "m") }()
	holds(t, b, to, 1)
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := next(t, answer, "the end of the request"); !errors.Is(err, messaging.ErrClosed) {
		t.Errorf("the request ended with %v", err)
	}
	if err := ask(b, nil, to, "m"); !errors.Is(err, messaging.ErrClosed) {
		t.Errorf("a request after Close: %v", err)
	}
}

// TestRequesterClose: in whatever a request waits for, Close ends it with
// ErrClosed, and no other follows.
func TestRequesterClose(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	to := declare(t, b)
	closes := func(what string, r *messaging.Requester, begun func()) {
		t.Helper()
		answer := make(chan error, 1)
		go func() { answer <- ask(b, r, to, "m") }()
		begun()
		for range 2 {
			if err := r.Close(); err != nil {
				t.Errorf("%s: Close returned %v", what, err)
			}
		}
		for _, err := range []error{next(t, answer, "the end of the request"), ask(b, r, to, "m")} {
			if !errors.Is(err, messaging.ErrClosed) || !strings.Contains(err.Error(), "the Requester is closed") {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	closes("the reply", messaging.NewRequester(b), func() { holds(t, b, to, 1) })
	for range 100 { // at any moment of the beginning
		closes("anything", messaging.NewRequester(b), runtime.Gosched)
	}
	if err := proxy.Refuse(true); err != nil {
		t.Fatal(err)
	}
	g, err := b.consumeLink().await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	next(t, g.lost, "the loss of the connection")
	closes("the reply queue", messaging.NewRequester(b), runtime.Gosched)
	if err := proxy.Refuse(false); err != nil {
		t.Fatal(err)
	}
	publish(t, b, to, &messaging.Message{}) // the Broker goes on
}

// TestReplyToNobody: the requester is gone, and the request is done.
func TestReplyToNobody(t *testing.T) {
	b := open(t)
	to := responder(t, b)
	publish(t, b, to, &messaging.Message{ReplyTo: "gone." + messaging.NewID(), Body: []byte("m")})
	if err := ask(b, nil, to, "after"); err != nil {
		t.Error(err)
	}
	empty(t, b, to)
}

// TestExclusiveQueueIsLocked: another connection still has the queue, as a
// connection does that the broker has not missed yet. Other subscriptions go
// on, and this one follows when the queue is free, with the queue's properties.
func TestExclusiveQueueIsLocked(t *testing.T) {
	proxy := rabbitmqtest.NewProxy(t, host(t))
	b := openAt(t, viaProxy(proxy, rabbitmqtest.URL(t), ""))
	q := declare(t, b)
	mine := declare(t, b, func(q *messaging.QueueSpec) { q.Exclusive, q.AutoDelete = true, true })
	other := subscribe(t, b, messaging.Source{Address: q}, collect(nil))
	got := make(chan messaging.Delivery, 1)
	sub := subscribe(t, b, messaging.Source{Address: mine, AutoAck: true}, collect(got))

	if err := proxy.Refuse(true); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	ch := rawChannel(t, rabbitmqtest.URL(t))
	declareRaw := func() error {
		_, err := ch.QueueDeclare(mine.Name(), false, false, true, false, nil)
		return err
	}
	for end := time.Now().Add(testPatience); declareRaw() != nil; ch = rawChannel(t, rabbitmqtest.URL(t)) {
		if time.Now().After(end) {
			t.Fatal("the broker keeps the queue locked")
		}
	}
	if err := proxy.Refuse(false); err != nil {
		t.Fatal(err)
	}
	other.waitReady()
	if _, err := ch.QueueDelete(mine.Name(), false, false, false); err != nil {
		t.Fatal(err)
	}
	sub.waitReady()
	if err := b.Declare(t.Context(), b.specOf(mine.Name())); err != nil {
		t.Errorf("it came back as another: %v", err)
	}
	publish(t, b, mine, &messaging.Message{})
	next(t, got, "the message")
}
