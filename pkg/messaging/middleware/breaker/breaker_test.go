package breaker_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/handlertest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware/breaker"
)

var (
	work    = handlertest.Work
	errDown = errors.New("the database is down")
)

// While a database is away for an hour, all messages would be dead-lettered;
// with a breaker only the few that are tried to see whether it is back.
func TestMessagesWaitWhileEverythingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 50
		back := time.Now().Add(time.Hour)
		var tried, handled atomic.Int64 // by four workers
		h := func(context.Context, *messaging.Delivery) error {
			if tried.Add(1); time.Now().Before(back) {
				return errDown
			}
			handled.Add(1)
			return nil
		}
		src := messaging.Source{Concurrency: 4, Retry: messaging.Retry{MaxAttempts: 100}}
		mw := breaker.New(gobreaker.Settings{Timeout: time.Minute})
		handlertest.Serve(t, src, mw(h), func(b *memory.Broker) {
			for range all {
				handlertest.Publish(t, b, work, &messaging.Message{})
			}
			handlertest.Handled(t, b)
			if n := len(b.DeadLetters(work)); n != 0 || handled.Load() != all {
				t.Errorf("%d handled, %d dead letters; want all %d handled", handled.Load(), n, all)
			}
		})
		if failed := tried.Load() - all; failed < 30 || failed > 100 {
			t.Errorf("tried %d times in vain in an hour, want about one a minute", failed)
		}
	})
}

func TestWhatCountsAsAFailure(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		err   error
		opens bool
	}{
		{"an error", t.Context(), errDown, true},
		{"RetryAfter", t.Context(), messaging.RetryAfter(time.Second, errDown), true},
		{"Reject", t.Context(), messaging.Reject(errDown), false},
		{"Requeue", t.Context(), messaging.Requeue(errDown), false},
		{"nil", t.Context(), nil, false},
		{"an error after the context was cancelled", canceled, errDown, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := breaker.New(gobreaker.Settings{})(func(context.Context, *messaging.Delivery) error { return c.err })
			for range 6 {
				if err := h(c.ctx, &messaging.Delivery{}); !errors.Is(err, c.err) {
					t.Errorf("%s: the verdict became %v", c.name, err)
				}
			}
			start := time.Now()
			err := h(context.Background(), &messaging.Delivery{})
			if open := errors.Is(err, gobreaker.ErrOpenState); open != c.opens {
				t.Errorf("%s, six times: %v; open should be %v", c.name, err, c.opens)
			}
			if !c.opens {
				return
			}
			if messaging.Decide(err, 1, messaging.Retry{}).Action != messaging.Release || time.Since(start) != breaker.Hold {
				t.Errorf("%s: while open: %v after %v, want a Requeue after %v", c.name, err, time.Since(start), breaker.Hold)
			}
		})
	}
}

func TestHandlersThatDoNotReturn(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	} {
		synctest.Test(t, func(t *testing.T) {
			works := false
			h := breaker.New(gobreaker.Settings{Timeout: time.Minute})(func(context.Context, *messaging.Delivery) error {
				if !works {
					end()
				}
				return nil
			})
			call := func() (err error) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					err = h(context.Background(), &messaging.Delivery{})
				}()
				<-done
				return err
			}
			for range 6 {
				_ = call()
			}
			if err := call(); !errors.Is(err, gobreaker.ErrOpenState) {
				t.Errorf("after six times %s: %v, want it open", name, err)
			}
			time.Sleep(2 * time.Minute)
			_ = call() // half open: the trial fails too
			works = true
			time.Sleep(2 * time.Minute)
			if err := call(); err != nil {
				t.Errorf("after %s in the half-open state it does not close again: %v", name, err)
			}
		})
	}
}

func TestHoldEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := breaker.New(gobreaker.Settings{ReadyToTrip: func(gobreaker.Counts) bool { return true }})(
			func(context.Context, *messaging.Delivery) error { return errDown })
		_ = h(t.Context(), &messaging.Delivery{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		_ = h(ctx, &messaging.Delivery{})
		if time.Since(start) != time.Millisecond {
			t.Errorf("held a message for %v, though its context ended after 1ms", time.Since(start))
		}
	})
}
