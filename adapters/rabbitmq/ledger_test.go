package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// ledger publishes from several goroutines and keeps books: which messages
// were reported as stored, and which of them have been handled.
type ledger struct {
	t testing.TB

	stored   atomic.Int64 // how many so far; a test's faults follow its steps
	mu       sync.Mutex
	promised map[string]bool // reported as stored
	handled  map[string]int
	unknown  int           // handled without an ID or body of ours
	news     chan struct{} // gets a token when something was handled
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, promised: map[string]bool{}, handled: map[string]int{}, news: make(chan struct{}, 1)}
}

// publish publishes count messages a goroutine, so many a call, and returns
// when all are through.
func (l *ledger) publish(b messaging.Publisher, q messaging.Address, goroutines, calls, each int) {
	var running sync.WaitGroup
	for g := range goroutines {
		running.Go(func() {
			for c := range calls {
				l.call(b, q, texts(fmt.Sprintf("%d.%d.", g, c), each))
			}
		})
	}
	running.Wait()
}

func (l *ledger) call(b messaging.Publisher, q messaging.Address, msgs []*messaging.Message) {
	ctx, cancel := context.WithTimeout(l.t.Context(), testPatience)
	defer cancel()
	err := b.Publish(ctx, q, msgs...)
	var failed *messaging.PublishError
	if err != nil && !errors.As(err, &failed) {
		l.t.Errorf("publish: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range msgs {
		l.promised[m.ID] = true
	}
	if failed != nil {
		l.t.Logf("%v", err)
		for _, f := range failed.Failed {
			delete(l.promised, f.ID)
		}
	}
	l.stored.Store(int64(len(l.promised)))
}

// handle is the consumer's side.
func (l *ledger) handle(_ context.Context, d *messaging.Delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.ID == "" || len(d.Body) == 0 {
		l.unknown++
		return nil
	}
	l.handled[d.ID]++
	select {
	case l.news <- struct{}{}:
	default:
	}
	return nil
}

// await waits until everything that was promised has been handled.
func (l *ledger) await() {
	l.t.Helper()
	for missing := l.missing(); missing > 0; missing = l.missing() {
		select {
		case <-l.news:
		case <-time.After(testPatience): // since the last of them: a slow machine is no loss
			l.t.Fatalf("%d of %d messages that were reported as stored are lost", missing, len(l.promised))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	twice := 0
	for _, n := range l.handled {
		twice += n - 1
	}
	l.t.Logf("%d confirmed, 0 lost, %d handled again", len(l.promised), twice)
	if l.unknown > 0 {
		l.t.Errorf("%d messages were delivered that nobody sent", l.unknown)
	}
}

func (l *ledger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if few := len(l.promised) - len(l.handled); few > 0 {
		return few // at least
	}
	missing := 0
	for id := range l.promised {
		if l.handled[id] == 0 {
			missing++
		}
	}
	return missing
}

// every calls f each time that another step messages are stored, so many
// times, and returns a function that waits for that.
func (l *ledger) every(step int64, times int, f func()) (wait func()) {
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 1; i <= times; i++ {
			for l.stored.Load() < int64(i)*step {
				select {
				case <-tick.C:
				case <-l.t.Context().Done():
					return
				}
			}
			f()
		}
	})
	return running.Wait
}
