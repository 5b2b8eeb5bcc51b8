package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	promised map[string]string // reported as stored: the body of each ID
	handled  map[string]int
	last     time.Time     // when the last was handled
	unknown  int           // handled without an ID or body of ours
	news     chan struct{} // gets a token when something was handled
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, promised: map[string]string{}, handled: map[string]int{}, news: make(chan struct{}, 1)}
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
		l.promised[m.ID] = string(m.Body)
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
	l.last = time.Now()
	select {
	case l.news <- struct{}{}:
	default:
	}
	return nil
}

// await waits until everything that was promised has been handled. Otherwise it
// says where what is missing may be: in q still, held by somebody, or nowhere.
func (l *ledger) await(b *Broker, q messaging.Address) {
	l.t.Helper()
	for missing := l.missing(); missing > 0; missing = l.missing() {
		select {
		case <-l.news:
		case <-time.After(testPatience): // since the last of them: a slow machine is no loss
			l.t.Fatalf("%d of %d messages that were reported as stored are lost: %s\nthe broker has %s",
				missing, len(l.promised), l.describe(), inTheBroker(b, q))
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

// describe says which messages are missing, by their publishers and calls.
func (l *ledger) describe() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var bodies []string
	for id, body := range l.promised {
		if l.handled[id] == 0 {
			bodies = append(bodies, body)
		}
	}
	slices.Sort(bodies)
	return fmt.Sprintf("%q; the last one that came did so %s ago", bodies, time.Since(l.last))
}

// inTheBroker says what is in the queue, and what is there once everybody who
// may hold something has lost it.
func inTheBroker(b *Broker, q messaging.Address) string {
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	before, err := b.Inspect(ctx, q)
	health := b.Health()
	closeErr := b.Close(ctx)
	other := newBroker(b.cfg, nil)
	defer other.Close(ctx)
	after, otherErr := other.Inspect(ctx, q)
	return fmt.Sprintf("%+v (%v), and %+v (%v) after Close (%v); Health was %s", before, err, after, otherErr, closeErr, health)
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
