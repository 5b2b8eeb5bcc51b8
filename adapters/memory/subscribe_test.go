package memory_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestSubscribeDeclaresQueueAndDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("new")
		r := subscribe(t, b, messaging.Source{Address: q}, newStation().accept)
		expectInfo(t, b, q, 0, 0, 1)
		expectInfo(t, b, messaging.Queue("new.dead"), 0, 0, 0)
		if n := r.readyTimes(); n != 1 {
			t.Errorf("Ready was called %d times", n)
		}
		if n := b.Health().Subscriptions; n != 1 {
			t.Errorf("Health counts %d subscriptions", n)
		}
		r.end()
		expectInfo(t, b, q, 0, 0, 0)
		if n := b.Health().Subscriptions; n != 0 {
			t.Errorf("Health counts %d subscriptions", n)
		}
	})
}

func TestPrefetchBoundsWhatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, numbered(100)...)
		s := newStation()
		r := subscribe(t, b, messaging.Source{Concurrency: 3, Prefetch: 7}, s.handle)
		expectInfo(t, b, work, 93, 7, 1)
		if n := len(s.deliveries()); n != 3 {
			t.Errorf("%d handlers run, want 3", n)
		}
		s.verdicts <- nil
		expectInfo(t, b, work, 92, 7, 1)
		close(s.verdicts)
		r.end()
	})
}

func TestConsumersTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		var all [3]*station
		var subscriptions [3]*running
		for i := range all {
			all[i] = newStation()
			subscriptions[i] = subscribe(t, b, messaging.Source{Prefetch: 4}, all[i].accept)
		}
		for _, text := range numbered(9) {
			publish(t, b, work, text)
			synctest.Wait()
		}
		all[0].expect(t, "0 3 6")
		all[1].expect(t, "1 4 7")
		all[2].expect(t, "2 5 8")
		for _, r := range subscriptions {
			r.end()
		}
	})
}

func TestBusyConsumerGetsNoMore(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		busy, idle := newStation(), newStation()
		r1 := subscribe(t, b, messaging.Source{Prefetch: 1}, busy.handle)
		r2 := subscribe(t, b, messaging.Source{Prefetch: 1}, idle.accept)
		publish(t, b, work, numbered(10)...)
		busy.expect(t, "0")
		idle.expect(t, "1 2 3 4 5 6 7 8 9")
		busy.verdicts <- nil
		r1.end()
		r2.end()
	})
}

func TestStoppedConsumersPrefetchGoesToOthers(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		busy, idle := newStation(), newStation()
		publish(t, b, work, "1", "2", "3")
		r1 := subscribe(t, b, messaging.Source{Prefetch: 10}, busy.handle)
		r2 := subscribe(t, b, messaging.Source{Prefetch: 10}, idle.accept)
		busy.expect(t, "1")
		idle.expect(t, "")
		r1.stop()
		idle.expect(t, "2 3")
		busy.verdicts <- nil
		must(t, <-r1.ended)
		r2.end()
	})
}

func TestSingleActive(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("single")
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "single", SingleActive: true}))
		first, second := newStation(), newStation()
		r1 := subscribe(t, b, messaging.Source{Address: q}, first.accept)
		r2 := subscribe(t, b, messaging.Source{Address: q}, second.accept)
		publish(t, b, q, "1", "2", "3")
		first.expect(t, "1 2 3")
		r1.end()
		publish(t, b, q, "4", "5")
		second.expect(t, "4 5")
		r2.end()
	})
}

func TestAutoDelete(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("short")
		spec := messaging.QueueSpec{Name: "short", AutoDelete: true}
		must(t, b.Declare(t.Context(), spec))
		r1 := subscribe(t, b, messaging.Source{Address: q}, newStation().accept)
		r2 := subscribe(t, b, messaging.Source{Address: q}, newStation().accept)
		b.CancelConsumers(q) // cancelled is not left
		synctest.Wait()
		r1.end()
		expectInfo(t, b, q, 0, 0, 1)
		b.Disconnect()
		b.Reconnect()
		synctest.Wait()
		must(t, b.Declare(t.Context(), spec)) // it came back with its properties
		r2.end()
		_, err := b.Inspect(t.Context(), q)
		mustBe(t, err, messaging.ErrNotFound)
	})
}

func TestAutoAck(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "1", "2")
		s := newStation()
		r := subscribe(t, b, messaging.Source{AutoAck: true, Prefetch: 1}, s.handle)
		s.expect(t, "1")
		expectInfo(t, b, work, 0, 1, 1) // 1 is gone, 2 is in the prefetch
		s.verdicts <- errors.New("fails")
		s.expect(t, "1 2")
		expectInfo(t, b, work, 0, 0, 1)
		s.verdicts <- nil
		r.end()
		_, err := b.Inspect(t.Context(), messaging.Queue("work.dead")) // what is never dead-lettered needs no such queue
		mustBe(t, err, messaging.ErrNotFound)

		publish(t, b, work, "got")
		p, err := b.Get(t.Context(), messaging.Source{Address: work, AutoAck: true})
		must(t, err)
		expectInfo(t, b, work, 0, 0, 0)
		must(t, p.Settle(messaging.Requeue(nil)))
		mustBe(t, p.Settle(nil), messaging.ErrSettled)
		expectInfo(t, b, work, 0, 0, 0)
	})
}

func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a", "b", "c", "d", "e")
		s := newStation()
		alive := make(chan error, 1)
		r := subscribe(t, b, messaging.Source{}, func(ctx context.Context, d *messaging.Delivery) error {
			err := s.handle(ctx, d)
			alive <- ctx.Err()
			return errors.Join(err, b.Publish(ctx, work, messages("more")...))
		})
		s.expect(t, "a")
		r.stop()
		expectInfo(t, b, work, 4, 1, 0)
		s.verdicts <- nil
		must(t, <-r.ended)
		must(t, <-alive)
		p := get(t, b, work)
		if string(p.Body) != "b" || p.Redelivered || p.Attempt != 1 {
			t.Errorf("what had not been started is %+v", p.Delivery)
		}
		must(t, p.Settle(nil))
		expectTexts(t, b, work, "c d e more")
	})
}

func TestShutdownTimeoutReleases(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "cooperative", "stuck", "waiting")
		free := make(chan struct{})
		src := messaging.Source{Concurrency: 2, ShutdownTimeout: 5 * time.Second}
		r := subscribe(t, b, src, func(ctx context.Context, d *messaging.Delivery) error {
			if string(d.Body) == "stuck" {
				<-free
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		r.stop()
		err := <-r.ended
		mustBe(t, err, context.DeadlineExceeded)
		if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("took %s", took)
		}
		close(free) // its late verdict has no effect
		synctest.Wait()
		for _, want := range []string{"cooperative true", "stuck true", "waiting false"} {
			p := get(t, b, work)
			if got := fmt.Sprint(string(p.Body), " ", p.Redelivered); got != want || p.Attempt != 1 {
				t.Errorf("got %s, attempt %d, want %s", got, p.Attempt, want)
			}
			must(t, p.Settle(nil))
		}
	})
}

func TestSubscribeWithEndedContext(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, b.Subscribe(ctx, messaging.Source{Address: work}, newStation().accept))
		expectInfo(t, b, work, 1, 0, 0)
	})
}

func TestIdleSubscriptionsEndWithoutLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	b := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	var ended atomic.Int32
	done := make(chan struct{})
	const n = 100
	for range n {
		go func() {
			if err := b.Subscribe(ctx, messaging.Source{Address: work}, newStation().accept); err != nil {
				t.Error(err)
			}
			if ended.Add(1) == n {
				close(done)
			}
		}()
	}
	cancel()
	<-done
	must(t, b.Close(t.Context()))
	for runtime.NumGoroutine() > before { // the last of them may be about to end
		runtime.Gosched()
	}
}

func TestDeliverAllocsPerMessage(t *testing.T) {
	b := memory.New()
	must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
	const n = 20000
	msgs := make([]*messaging.Message, n)
	for i := range msgs {
		msgs[i] = &messaging.Message{Body: make([]byte, 256)}
	}
	must(t, b.Publish(t.Context(), work, msgs...))
	ctx, cancel := context.WithCancel(t.Context())
	left := n
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	must(t, b.Subscribe(ctx, messaging.Source{Address: work}, func(context.Context, *messaging.Delivery) error {
		if left--; left == 0 {
			cancel()
		}
		return nil
	}))
	runtime.ReadMemStats(&after)
	if got := float64(after.Mallocs-before.Mallocs) / n; got > 2.1 {
		t.Errorf("%.2f allocations a delivery, want at most 2: the delivery and its body", got)
	}
	must(t, b.Close(t.Context()))
}
