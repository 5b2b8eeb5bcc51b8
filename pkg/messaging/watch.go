package messaging

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Watcher is what a Broker implements that can tell when its Health changes.
// [Watch] uses it.
type Watcher interface {
	// HealthChanged returns a channel that is closed at the next change of
	// what [Watch] looks at in the broker's Health. It may be closed when
	// nothing has changed. [Changes] is all that an adapter needs for it.
	HealthChanged() <-chan struct{}
}

// watchEvery is how often Watch asks a Broker that is no Watcher.
const watchEvery = time.Second

// Watch returns an iterator over the Health of b: as it is now, and then each
// time that its State, Since, Blocked, BlockedReason or Subscriptions have
// changed. A new LastError alone is no change: it comes with the next, and is in
// the log.
//
//	for h := range messaging.Watch(ctx, broker) {
//		ready.Store(h.State == messaging.Connected)
//	}
//
// It ends when ctx does, and after the state Closed. Nothing is queued and no
// goroutine runs: a loop whose body takes its time gets the Health that there is
// when it comes back for it. So it may miss what was over by then, and never
// what is still so.
//
// A Broker that is a [Watcher] tells of a change at once. Any other is asked
// once a second.
func Watch(ctx context.Context, b Broker) iter.Seq[Health] {
	return func(yield func(Health) bool) {
		next, stop := changesOf(b)
		defer stop()
		var known Health
		for first := true; ctx.Err() == nil; first = false {
			changed := next() // before Health, so that a change in between is not missed
			if h := b.Health(); first || differ(known, h) {
				if !yield(h) || h.State == Closed {
					return
				}
				known = h
			}
			select {
			case <-changed.told:
			case <-changed.asked:
			case <-ctx.Done():
			}
		}
	}
}

// change is a channel for each way to learn of it; one of them is nil.
type change struct {
	told  <-chan struct{}
	asked <-chan time.Time
}

// changesOf returns what waits for the next change of b's Health, and what ends
// that.
func changesOf(b Broker) (next func() change, stop func()) {
	if w, ok := b.(Watcher); ok {
		return func() change { return change{told: w.HealthChanged()} }, func() {}
	}
	tick := time.NewTicker(watchEvery)
	return func() change { return change{asked: tick.C} }, tick.Stop
}

func differ(a, b Health) bool {
	return a.State != b.State || !a.Since.Equal(b.Since) ||
		a.Blocked != b.Blocked || a.BlockedReason != b.BlockedReason || a.Subscriptions != b.Subscriptions
}

// Changes is for adapters: it wakes up whoever waits for something to change.
// Its methods may be called from any number of goroutines, with any lock held.
// The zero value is ready for use.
type Changes struct {
	mu   sync.Mutex
	next chan struct{} // nil while nobody waits
}

// Next returns a channel that is closed by the next Notify.
func (c *Changes) Next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// Notify says that something has changed. Call it after the change can be seen.
func (c *Changes) Notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}
