package memory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// waiting is a WaitIdle in a goroutine of its own.
type waiting struct {
	t      *testing.T
	cancel context.CancelFunc
	result chan error
}

func waitIdle(t *testing.T, b *memory.Broker, opts ...memory.IdleOption) *waiting {
	ctx, cancel := context.WithCancel(context.Background())
	w := &waiting{t: t, cancel: cancel, result: make(chan error, 1)}
	go func() { w.result <- b.WaitIdle(ctx, opts...) }()
	return w
}

// not says that it is still waiting, and what for.
func (w *waiting) not(why string) {
	w.t.Helper()
	synctest.Wait()
	select {
	case err := <-w.result:
		w.t.Fatalf("WaitIdle returned %v, with %s", err, why)
	default:
	}
}

// done says that it has returned.
func (w *waiting) done() {
	w.t.Helper()
	synctest.Wait()
	select {
	case err := <-w.result:
		must(w.t, err)
	default:
		w.cancel()
		w.t.Fatalf("WaitIdle is still waiting: %v", <-w.result)
	}
}

func TestWaitIdleIsToldByWhateverEndsTheLastMessage(t *testing.T) {
	take := func(t *testing.T, b *memory.Broker, src messaging.Source) *messaging.Pending {
		src.Address = work
		p, err := b.Get(t.Context(), src)
		must(t, err)
		return p
	}
	consume := func(t *testing.T, b *memory.Broker, src messaging.Source, verdict error) {
		subscribe(t, b, src, func(context.Context, *messaging.Delivery) error { return verdict }).end()
	}
	for name, end := range map[string]func(t *testing.T, b *memory.Broker){
		"settled after Get":   func(t *testing.T, b *memory.Broker) { must(t, take(t, b, messaging.Source{}).Settle(nil)) },
		"got with AutoAck":    func(t *testing.T, b *memory.Broker) { take(t, b, messaging.Source{AutoAck: true}) },
		"handled":             func(t *testing.T, b *memory.Broker) { consume(t, b, messaging.Source{}, nil) },
		"handled one by one":  func(t *testing.T, b *memory.Broker) { consume(t, b, messaging.Source{Prefetch: 1}, nil) },
		"handled and AutoAck": func(t *testing.T, b *memory.Broker) { consume(t, b, messaging.Source{AutoAck: true}, nil) },
		"dead-lettered":       func(t *testing.T, b *memory.Broker) { consume(t, b, messaging.Source{}, messaging.Reject(nil)) },
		"purged": func(t *testing.T, b *memory.Broker) {
			_, err := b.Purge(t.Context(), work)
			must(t, err)
		},
		"deleted": func(t *testing.T, b *memory.Broker) { must(t, b.Delete(t.Context(), work)) },
		"expired": func(*testing.T, *memory.Broker) { time.Sleep(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *memory.Broker) {
				waitIdle(t, b).done()
				must(t, b.Publish(t.Context(), work, &messaging.Message{TTL: time.Hour}))
				one, other := waitIdle(t, b), waitIdle(t, b, memory.IgnoreWaiting())
				one.not("a message in the queue")
				other.not("a message in the queue")
				end(t, b)
				one.done()
				other.done()
			})
		})
	}
}

func TestWaitIdleCountsWhatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a")
		s := newStation()
		r := subscribe(t, b, messaging.Source{}, s.handle)
		w := waitIdle(t, b)
		w.not("a handler running")
		b.Disconnect()
		w.not("its message back in the queue")
		b.Reconnect()
		s.verdicts <- nil // too late
		w.not("the message being handled again")
		s.verdicts <- nil
		w.done()
		r.end()
	})
}

func TestWaitIdleAndWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		group(t, b, "g")
		r := subscribe(t, b, messaging.Source{Address: events, Group: "g"}, newStation().accept)
		failing := subscribe(t, b, messaging.Source{}, func(_ context.Context, d *messaging.Delivery) error {
			if d.Attempt == 1 && string(d.Body) == "fails" {
				return messaging.RetryAfter(time.Hour, nil)
			}
			return nil
		})
		publish(t, b, work, "fails")
		must(t, b.Publish(t.Context(), events, &messaging.Message{Delay: 2 * time.Hour}))
		must(t, b.Publish(t.Context(), work, &messaging.Message{Delay: 3 * time.Hour}))
		all := waitIdle(t, b)
		waitIdle(t, b, memory.IgnoreWaiting()).done()
		for _, what := range []string{"a retry", "a delayed message to a topic", "a delayed message"} {
			all.not(what)
			time.Sleep(time.Hour)
		}
		all.done()
		r.end()
		failing.end()
	})
}

func TestWaitIdleAndDelayedMessagesThatEndNowhere(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		src := group(t, b, "g")
		must(t, b.Publish(t.Context(), events, &messaging.Message{Delay: time.Hour}))
		must(t, b.Delete(t.Context(), src.Queue()))
		w := waitIdle(t, b)
		w.not("it waiting for nobody")
		time.Sleep(time.Hour)
		w.done()

		must(t, b.Publish(t.Context(), events, &messaging.Message{Delay: time.Hour}))
		w = waitIdle(t, b)
		w.not("it waiting")
		must(t, b.Delete(t.Context(), events))
		w.done()
	})
}

func TestWaitIdleAndDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a", "b")
		reject := func(context.Context, *messaging.Delivery) error { return messaging.Reject(nil) }
		r := subscribe(t, b, messaging.Source{}, reject)
		waitIdle(t, b).done() // nobody reads the dead letters

		dead := messaging.Queue("work.dead")
		s := newStation()
		undertaker := subscribe(t, b, messaging.Source{Address: dead, Prefetch: 1}, s.handle)
		w := waitIdle(t, b)
		w.not("dead letters that somebody reads")
		s.verdicts <- nil
		w.not("one more")
		undertaker.stop()
		s.verdicts <- messaging.Requeue(nil)
		must(t, <-undertaker.ended)
		w.done() // nobody reads them any more
		if n := len(b.DeadLetters(work)); n != 1 {
			t.Errorf("%d dead letters", n)
		}
		r.end()
	})
}

func TestWaitIdleSaysWhatIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a", "b")
		p := get(t, b, work)
		must(t, b.Publish(t.Context(), work, &messaging.Message{Delay: time.Hour}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.WaitIdle(ctx)
		mustBe(t, err, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "queue:work has 1 ready, 1 unsettled, 1 waiting") {
			t.Error(err)
		}
		must(t, b.WaitIdle(ctx, memory.IgnoreQueues(work)))
		must(t, p.Settle(nil))
	})
}

func TestWaitIdleAndClose(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a")
		w := waitIdle(t, b)
		w.not("a message")
		must(t, b.Close(t.Context()))
		mustBe(t, <-w.result, messaging.ErrClosed)
	})
}

// TestWaitIdleIsExact has messages go from queue to queue, fail, wait and be
// dead-lettered at random, with real concurrency: when WaitIdle returns, all of
// them have arrived.
func TestWaitIdleIsExact(t *testing.T) {
	b := memory.New()
	const queues, hops = 5, 6
	var handled atomic.Int64
	hop := func(i int) messaging.Address { return messaging.Queue(fmt.Sprint("hop", i%queues)) }
	ctx, stop := context.WithCancel(t.Context())
	var ready []chan struct{}
	for i := range queues {
		up := make(chan struct{}, 10)
		ready = append(ready, up)
		handle := func(ctx context.Context, d *messaging.Delivery) error {
			if (len(d.Body)+i)%3 == 0 && d.Attempt == 1 {
				return messaging.RetryAfter(time.Duration(i)*time.Microsecond, errors.New("on purpose"))
			}
			handled.Add(1)
			if len(d.Body) == hops {
				return nil
			}
			return b.Publish(ctx, hop(i+len(d.Body)), &messaging.Message{Body: append(d.Body, 'x')})
		}
		src := messaging.Source{Address: hop(i), Concurrency: 1 + i%3, Ready: func() { up <- struct{}{} }}
		go func() { _ = b.Subscribe(ctx, src, handle) }()
	}
	for _, up := range ready {
		<-up
	}
	for round := range 200 {
		const each = 5
		for i := range each {
			must(t, b.Publish(ctx, hop(i), &messaging.Message{Body: []byte("x")}))
		}
		must(t, b.WaitIdle(ctx))
		if got, want := handled.Load(), int64((round+1)*each*hops); got != want {
			t.Fatalf("idle with %d messages handled, want %d", got, want)
		}
	}
	stop()
	must(t, b.Close(context.Background()))
}
