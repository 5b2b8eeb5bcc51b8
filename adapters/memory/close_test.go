package memory_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestCloseDrains(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, "a", "b")
		s := newStation()
		r := subscribe(t, b, messaging.Source{}, func(ctx context.Context, d *messaging.Delivery) error {
			err := s.handle(ctx, d)
			return errors.Join(err, b.Publish(ctx, messaging.Queue("work.dead"), messages("result")...), ctx.Err())
		})
		closed := make(chan error, 2)
		go func() { closed <- b.Close(context.Background()) }()
		go func() { closed <- b.Close(context.Background()) }()
		synctest.Wait()
		mustBe(t, b.Subscribe(t.Context(), messaging.Source{Address: work}, s.accept), messaging.ErrClosed)
		if b.Health().State != messaging.Closed {
			t.Error("Health does not say closed")
		}
		s.verdicts <- nil
		must(t, <-closed)
		must(t, <-closed)
		mustBe(t, <-r.ended, messaging.ErrClosed)
		s.expect(t, "a")
		must(t, b.Close(t.Context()))
	})
}

func TestCloseFreesWhoWaits(t *testing.T) {
	for _, fault := range []func(*memory.Broker){(*memory.Broker).Disconnect, func(b *memory.Broker) { b.Block("alarm") }} {
		bubble(t, func(t *testing.T, b *memory.Broker) {
			publish(t, b, work, "a")
			must(t, b.Publish(t.Context(), work, &messaging.Message{Delay: time.Hour, TTL: time.Hour}))
			r := subscribe(t, b, messaging.Source{}, newStation().accept)
			fault(b)
			published := make(chan error, 1)
			go func() { published <- b.Publish(context.Background(), work, messages("b")...) }()
			synctest.Wait()
			start := time.Now()
			must(t, b.Close(context.Background()))
			mustBe(t, <-published, messaging.ErrClosed)
			mustBe(t, <-r.ended, messaging.ErrClosed)
			if took := time.Since(start); took != 0 {
				t.Errorf("took %s", took)
			}
			b.Reconnect()
			b.Disconnect()
		})
	}
}

func TestCloseCutsStuckHandler(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s := newStation()
		stuck := subscribe(t, b, messaging.Source{}, s.handle)
		publish(t, b, work, "a", "b")
		s.expect(t, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		mustBe(t, b.Close(ctx), context.DeadlineExceeded)
		if took := time.Since(start); took > time.Second+50*time.Millisecond {
			t.Errorf("took %s", took)
		}
		err := <-stuck.ended
		mustBe(t, err, messaging.ErrClosed)
		mustBe(t, err, context.DeadlineExceeded)
		s.verdicts <- messaging.Reject(nil)
		synctest.Wait()
		mustBe(t, b.Publish(t.Context(), work, messages("c")...), messaging.ErrClosed)
	})
}

func TestCloseCutsCooperativeHandler(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		r := subscribe(t, b, messaging.Source{}, func(ctx context.Context, _ *messaging.Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		})
		publish(t, b, work, "a")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		mustBe(t, b.Close(ctx), context.DeadlineExceeded)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s", took)
		}
		mustBe(t, <-r.ended, messaging.ErrClosed)
	})
}

func TestCloseWithEndedContextCutsNothingIdle(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		r := subscribe(t, b, messaging.Source{}, newStation().accept)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, b.Close(ctx))
		mustBe(t, <-r.ended, messaging.ErrClosed)
	})
}

func TestCloseAmidPublishersAndSubscribers(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 50 {
		b := memory.New()
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
		var all sync.WaitGroup
		started := make(chan struct{}, 8)
		for range 4 {
			all.Go(func() {
				for {
					err := b.Publish(context.Background(), work, messages("a", "b")...)
					if errors.Is(err, messaging.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
					}
					select {
					case started <- struct{}{}:
					default:
					}
				}
			})
			all.Go(func() {
				err := b.Subscribe(context.Background(), messaging.Source{Address: work, Concurrency: 2}, newStation().accept)
				if !errors.Is(err, messaging.ErrClosed) {
					t.Errorf("Subscribe returned %v", err)
				}
			})
		}
		<-started
		for range 2 {
			all.Go(func() {
				if err := b.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	for runtime.NumGoroutine() > before { // the last of them may be about to end
		runtime.Gosched()
	}
}
