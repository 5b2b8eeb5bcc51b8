package rabbitmq

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// The defects that were found in watermill-amqp v2.1.3 (v3.1.0 has the same),
// and for which its publisher and subscriber are not used here. Each has its
// letter in the decision record.

// A: a header that is no string failed decoding, and the message went round
// thousands of times a second.
func TestRegressionA_NonStringHeaders(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	ch := rawChannel(t, rabbitmqtest.URL(t))
	err := ch.PublishWithContext(t.Context(), "", q.Name(), false, false, amqp.Publishing{
		Headers: amqp.Table{"n": int32(7), "list": []any{"a", true}, "none": nil}, Body: []byte("m")})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan messaging.Delivery, 10)
	sub := subscribe(t, b, messaging.Source{Address: q}, func(_ context.Context, d *messaging.Delivery) error {
		got <- *d
		if !d.Redelivered { // a healthy message that goes back gets the integer x-delivery-count
			return messaging.Requeue(nil)
		}
		return nil
	})
	next(t, got, "the message")
	d := next(t, got, "the message again")
	if d.Headers["n"] != "7" || d.Headers["list"] != `["a",true]` || len(d.Headers) != 3 || d.Attempt != 1 {
		t.Errorf("%+v", d)
	}
	if err := sub.stop(); err != nil {
		t.Error(err)
	}
	if len(got) > 0 {
		t.Errorf("it came %d times more", len(got))
	}
	empty(t, b, q)
}

// B: every reconnection was a data race. E: with confirms, one reset blocked
// every publisher for ever, and Close panicked. This is for -race.
func TestRegressionBE_Resets(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	q := declare(t, b)
	l := newLedger(t)
	subscribe(t, b, messaging.Source{Address: q, Concurrency: 4}, l.handle)
	wait := l.every(400, 10, func() { proxy.Cut() })
	l.publish(b, q, 8, 100, 10)
	wait()
	l.await(b, q)
}

// C: a closed delivery channel was read as an empty message.
func TestRegressionC_ClosedChannelIsNoMessage(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	q := declare(t, b)
	got := make(chan messaging.Delivery, 100)
	sub := subscribe(t, b, messaging.Source{Address: q, Concurrency: 8}, collect(got))
	for i := range 10 {
		if i%2 == 0 {
			proxy.Cut()
		} else if err := b.Delete(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		sub.waitReady()
	}
	publish(t, b, q, &messaging.Message{ID: "only"})
	if d := next(t, got, "the message"); d.ID != "only" {
		t.Errorf("a message came that nobody sent: %+v", d)
	}
}

// D: what was reported as stored was lost in a crash, by half.
func TestRegressionD_ConfirmedSurvivesCrash(t *testing.T) {
	for _, queueType := range []string{queueTypeQuorum, queueTypeClassic} {
		t.Run(queueType, func(t *testing.T) {
			t.Parallel()
			node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
			b := openAt(t, node.URL()+"?queue_type="+queueType)
			q := declare(t, b)
			declare(t, b) // a crash of RabbitMQ 3.10 loses what is in the quorum queue that was declared last
			l := newLedger(t)
			crash := l.every(1000, 1, func() {
				node.Kill()
				if err := node.StartAgain(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
			l.publish(b, q, 8, 50, 20)
			crash()
			subscribe(t, b, messaging.Source{Address: q, Concurrency: 4}, l.handle)
			l.await(b, q)
		})
	}
}

// F: a message that no queue takes was reported as stored.
func TestRegressionF_Unroutable(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	nowhere := messaging.Queue(messaging.NewID())
	var wrong atomic.Int64
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 125 { // others go through the same channels at the same time
				if err := b.Publish(t.Context(), nowhere, &messaging.Message{}); !errors.Is(err, messaging.ErrUnroutable) {
					wrong.Add(1)
				}
				if err := b.Publish(t.Context(), q, &messaging.Message{}); err != nil {
					wrong.Add(1)
				}
			}
		})
	}
	running.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of 2000 answers were wrong", n)
	}
}

// G: a context that ended while a message was unread leaked the subscription.
func TestRegressionG_CancelledWhileUnread(t *testing.T) {
	b := open(t)
	before := runtime.NumGoroutine()
	for range 20 {
		q := declare(t, b)
		publish(t, b, q, texts("m", 50)...)
		ctx, cancel := context.WithCancel(t.Context())
		err := b.Subscribe(ctx, messaging.Source{Address: q, ShutdownTimeout: time.Second},
			func(context.Context, *messaging.Delivery) error { cancel(); return nil })
		if err != nil {
			t.Errorf("Subscribe returned %v", err)
		}
		counts(t, b, q, 49, 0)
	}
	if after := runtime.NumGoroutine(); after > before+10 { // the checks for leaks at the end are exact
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// H: Close while a handler ran had its message handled twice.
func TestRegressionH_CloseWhileHandling(t *testing.T) {
	admin := open(t)
	for range 10 {
		b, err := Open(t.Context(), rabbitmqtest.URL(t))
		if err != nil {
			t.Fatal(err)
		}
		q := declare(t, admin)
		publish(t, admin, q, &messaging.Message{})
		running, release := make(chan struct{}), make(chan struct{})
		returned := make(chan error, 1)
		go func() {
			returned <- b.Subscribe(context.Background(), messaging.Source{Address: q},
				func(context.Context, *messaging.Delivery) error { close(running); <-release; return nil })
		}()
		next(t, running, "the handler")
		closed := make(chan error, 1)
		go func() { closed <- b.Close(context.Background()) }()
		close(release)
		if err := next(t, closed, "Close"); err != nil {
			t.Error(err)
		}
		if err := next(t, returned, "Subscribe"); !errors.Is(err, messaging.ErrClosed) {
			t.Error(err)
		}
		empty(t, admin, q)
	}
}

// I: Publish had no deadline: with a network that loses everything, or a broker
// that blocks publishers, it waited for ever.
func TestRegressionI_PublishKeepsItsDeadline(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{})
	proxy.Blackhole(rabbitmqtest.BothWays, true)
	var running sync.WaitGroup
	for range 20 { // together more than the buffers of the network hold
		running.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := b.Publish(ctx, q, &messaging.Message{Body: make([]byte, 1<<20)}, &messaging.Message{})
			if took := time.Since(start); took > 2*time.Second || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %s: %v", took, err)
			}
		})
	}
	running.Wait()
	proxy.Blackhole(rabbitmqtest.BothWays, false)
	publish(t, b, q, &messaging.Message{})
}

// J: queues were prepared once, and never again after a restart of the broker.
func TestRegressionJ_QueueIsBackAfterRestart(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b := openAt(t, node.URL())
	exclusive := declare(t, b, func(q *messaging.QueueSpec) { q.Exclusive = true })
	transient := declare(t, b, func(q *messaging.QueueSpec) { q.Transient = true })
	got := make(chan messaging.Delivery, 10)
	subs := []*running{
		subscribe(t, b, messaging.Source{Address: exclusive}, collect(got)),
		subscribe(t, b, messaging.Source{Address: transient}, collect(got)),
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range subs {
		s.waitReady()
	}
	for _, q := range []messaging.Address{exclusive, transient} {
		publish(t, b, q, &messaging.Message{})
		if d := next(t, got, "a message"); d.From != q {
			t.Errorf("from %s, not %s", d.From, q)
		}
	}
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: transient.Name(), Transient: true}); err != nil {
		t.Errorf("the transient queue came back otherwise: %v", err)
	}
}

// K: Close waited for a broker that was away, and leaked a connection.
func TestRegressionK_CloseWhileAway(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	for name, disturb := range map[string]func(p *rabbitmqtest.Proxy) error{
		"refused": func(p *rabbitmqtest.Proxy) error { err := p.Refuse(true); p.Cut(); return err },
		"silent":  func(p *rabbitmqtest.Proxy) error { p.Blackhole(rabbitmqtest.BothWays, true); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			proxy := rabbitmqtest.NewProxy(t, node.Addr())
			b, err := Open(t.Context(), proxy.URL(node.URL()))
			if err != nil {
				t.Fatal(err)
			}
			q := declare(t, b)
			subscribe(t, b, messaging.Source{Address: q}, collect(make(chan messaging.Delivery, 1)))
			publish(t, b, q, &messaging.Message{})
			if err := disturb(proxy); err != nil {
				t.Fatal(err)
			}
			waiting := make(chan error, 1)
			go func() { waiting <- b.Publish(context.Background(), q, &messaging.Message{}) }()
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			_ = b.Close(ctx) // whether something was cut is not the question
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("Close took %s", took)
			}
			if err := next(t, waiting, "Publish"); !errors.Is(err, messaging.ErrClosed) {
				t.Errorf("Publish: %v", err)
			}
		})
	}
}

// L: one message was in flight at a time, and one confirmation awaited.
func TestRegressionL_Pipelined(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{ID: "first"})
	const latency = 20 * time.Millisecond
	proxy.SetLatency(latency)
	const n = 500
	start := time.Now()
	publish(t, b, q, texts("m", n)...)
	oneByOne := n * 2 * latency
	if took := time.Since(start); took > oneByOne/4 {
		t.Errorf("%d messages with %s of latency took %s to publish; one by one takes %s", n, latency, took, oneByOne)
	}
	got := make(chan messaging.Delivery, n+1)
	start = time.Now()
	subscribe(t, b, messaging.Source{Address: q, Prefetch: 100}, collect(got))
	for range n + 1 {
		next(t, got, "a message")
	}
	if took := time.Since(start); took > oneByOne/4 {
		t.Errorf("%d messages with %s of latency took %s to consume; one by one takes %s", n, latency, took, oneByOne)
	}
}
