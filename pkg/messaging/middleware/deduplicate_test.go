package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/handlertest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
)

func TestDeduplicateByID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled []string
		h := func(_ context.Context, d *messaging.Delivery) error {
			handled = append(handled, d.ID)
			return nil
		}
		mw := middleware.Deduplicate(middleware.NewMemoryStore(10), nil)
		handlertest.Serve(t, messaging.Source{}, mw(h), func(b *memory.Broker) {
			for _, id := range []string{"a", "b", "a", "a", "c", "b"} {
				handlertest.Publish(t, b, work, &messaging.Message{ID: id})
			}
			for range 2 { // without an ID nobody knows whether they are the same
				if err := b.Inject(work, messaging.Message{}); err != nil {
					t.Fatal(err)
				}
			}
			handlertest.Handled(t, b)
			if want := []string{"a", "b", "c", "", ""}; !slices.Equal(handled, want) {
				t.Errorf("handled %q, want %q", handled, want)
			}
		})
	})
}

func TestDeduplicateByKey(t *testing.T) {
	n := 0
	byType := func(d *messaging.Delivery) string { return d.Type }
	h := middleware.Deduplicate(middleware.NewMemoryStore(10), byType)(func(context.Context, *messaging.Delivery) error { n++; return nil })
	for i, typ := range []string{"x", "y", "x"} {
		if err := h(t.Context(), &messaging.Delivery{Message: messaging.Message{ID: fmt.Sprint(i), Type: typ}}); err != nil {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("handled %d messages of 2 types, want 2", n)
	}
}

// What failed is handled again by its retry, and out of the dead letters.
func TestDeduplicateMarksOnlyWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []int
		works := false
		h := func(_ context.Context, d *messaging.Delivery) error {
			attempts = append(attempts, d.Attempt)
			switch {
			case works:
				return nil
			case d.Attempt == 1:
				panic("boom")
			default:
				return messaging.Reject(errBoom)
			}
		}
		mw := middleware.Deduplicate(middleware.NewMemoryStore(10), nil)
		handlertest.Serve(t, messaging.Source{}, mw(h), func(b *memory.Broker) {
			handlertest.Publish(t, b, work, &messaging.Message{ID: "a"})
			handlertest.Handled(t, b)
			works = true
			if n, err := messaging.Redrive(t.Context(), b, messaging.Queue("work.dead"), messaging.RedriveOptions{}); n != 1 || err != nil {
				t.Fatalf("redrove %d, %v", n, err)
			}
			handlertest.Publish(t, b, work, &messaging.Message{ID: "a"})
			handlertest.Handled(t, b)
		})
		if want := []int{1, 2, 1}; !slices.Equal(attempts, want) {
			t.Errorf("handled at attempts %v, want %v", attempts, want)
		}
	})
}

// A duplicate that comes while the message is being handled waits for the
// outcome, since acknowledging it at once would lose both if that fails.
func TestDuplicateAtTheSameTime(t *testing.T) {
	for _, first := range []error{nil, errBoom} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			h := middleware.Deduplicate(middleware.NewMemoryStore(10), nil)(func(context.Context, *messaging.Delivery) error {
				if calls.Add(1) == 1 {
					time.Sleep(time.Minute)
					return first
				}
				return nil
			})
			var both sync.WaitGroup
			var failed atomic.Int64
			for range 2 {
				both.Go(func() {
					if h(t.Context(), &messaging.Delivery{Message: messaging.Message{ID: "a"}}) != nil {
						failed.Add(1)
					}
				})
			}
			both.Wait()
			wantCalls, wantFailed := int64(1), int64(0)
			if first != nil {
				wantCalls, wantFailed = 2, 1
			}
			if calls.Load() != wantCalls || failed.Load() != wantFailed {
				t.Errorf("where the first ends with %v: %d calls and %d failures, want %d and %d",
					first, calls.Load(), failed.Load(), wantCalls, wantFailed)
			}
		})
	}
}

func TestDuplicateThatWaitsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := middleware.NewMemoryStore(1)
		var first sync.WaitGroup
		first.Go(func() {
			_, _ = s.Once(t.Context(), "a", func(context.Context) error { time.Sleep(time.Hour); return nil })
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		called, err := s.Once(ctx, "a", func(context.Context) error { return nil })
		if called || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("called %v, %v; want an error that is context.DeadlineExceeded", called, err)
		}
		first.Wait()
	})
}

func TestMemoryStoreIsBounded(t *testing.T) {
	s := middleware.NewMemoryStore(3)
	handle := func(key string) bool {
		called, err := s.Once(t.Context(), key, func(context.Context) error { return nil })
		if err != nil {
			t.Error(err)
		}
		return called
	}
	for round := range 3 { // around the ring
		for i := range 4 {
			if !handle(fmt.Sprintf("%d", i)) {
				t.Errorf("round %d: %d is remembered, though 3 others came after it", round, i)
			}
		}
		for _, i := range []int{3, 2, 1} {
			if handle(fmt.Sprintf("%d", i)) {
				t.Errorf("round %d: %d is forgotten, though it is one of the last 3", round, i)
			}
		}
	}
}

func TestMemoryStoreAfterGoexit(t *testing.T) {
	s := middleware.NewMemoryStore(3)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Once(context.Background(), "a", func(context.Context) error { runtime.Goexit(); return nil })
	}()
	<-done
	if called, _ := s.Once(t.Context(), "a", func(context.Context) error { return nil }); !called {
		t.Error("a message whose handler did not return is marked as handled")
	}
}

func TestMemoryStoreCapacity(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a capacity of 0 was taken")
		}
	}()
	middleware.NewMemoryStore(0)
}

// downStore is a store whose database is away for the first calls.
type downStore struct {
	middleware.Store
	failures int
}

func (s *downStore) Once(ctx context.Context, key string, handle func(context.Context) error) (bool, error) {
	if s.failures > 0 {
		s.failures--
		return false, errBoom
	}
	return s.Store.Once(ctx, key, handle)
}

func TestStoreThatFailsLosesNothing(t *testing.T) {
	for _, failures := range []int{4, 5} {
		synctest.Test(t, func(t *testing.T) {
			handled := 0
			store := &downStore{middleware.NewMemoryStore(10), failures}
			h := middleware.Deduplicate(store, nil)(func(context.Context, *messaging.Delivery) error { handled++; return nil })
			handlertest.Serve(t, messaging.Source{}, h, func(b *memory.Broker) {
				handlertest.Publish(t, b, work, &messaging.Message{})
				handlertest.Handled(t, b)
				if n := handled + len(b.DeadLetters(work)); n != 1 || (handled == 1) != (failures == 4) {
					t.Errorf("after %d failures of the store: handled %d times, %d dead letters", failures, handled, len(b.DeadLetters(work)))
				}
			})
		})
	}
}
