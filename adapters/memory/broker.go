package memory

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Broker is a message broker in this process. It implements
// [messaging.Broker], [messaging.Getter] and [messaging.Watcher].
type Broker struct {
	settings
	start time.Time // zero of the clock that queues count in

	// mu comes before any queue's mutex where both are held. Publishers hold
	// it for reading while they store.
	mu         sync.RWMutex
	queues     map[string]*queue
	topics     map[string]*topic
	subs       map[*subscription]struct{}
	down       bool // disconnected
	losses     int  // how often it was
	holding    bool // confirms are held back
	faults     *faults
	blocked    bool
	reason     string // of blocked
	closing    bool   // Close was called: subscriptions drain, and nobody waits any more
	closed     bool   // nothing works any more
	since      time.Time
	lastErr    error
	unfinished int // subscriptions that had to leave handlers behind while closing
	closeErr   error
	cutOnce    sync.Once
	changed    chan struct{} // closed and replaced when down, blocked, holding or closing change
	drained    chan struct{} // closed when closing and the last subscription has ended
	cut        chan struct{} // closed when Close has run out of time
	attached   atomic.Int64  // subscriptions that are attached to their queue
	health     messaging.Changes
	idle       idlers
	stock      stock
}

var (
	_ messaging.Broker  = (*Broker)(nil)
	_ messaging.Getter  = (*Broker)(nil)
	_ messaging.Watcher = (*Broker)(nil)
)

func init() { messaging.Register("memory", open) }

// New returns an empty broker, connected and ready. Close it.
func New(opts ...Option) *Broker {
	now := time.Now()
	return &Broker{
		settings: newSettings(opts),
		start:    now,
		since:    now,
		queues:   map[string]*queue{},
		topics:   map[string]*topic{},
		subs:     map[*subscription]struct{}{},
		changed:  make(chan struct{}),
		drained:  make(chan struct{}),
		cut:      make(chan struct{}),
	}
}

func open(_ context.Context, u *url.URL) (messaging.Broker, error) {
	if u.User != nil || u.Host != "" || u.Opaque != "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("open memory://: %w: it takes no user, host, path or parameters; write memory:// alone", messaging.ErrURL)
	}
	return New(), nil
}

// Health reports the state of the simulated connection.
func (b *Broker) Health() messaging.Health {
	b.mu.RLock()
	defer b.mu.RUnlock()
	h := messaging.Health{
		State:         messaging.Connected,
		Since:         b.since,
		Blocked:       b.blocked,
		BlockedReason: b.reason,
		Subscriptions: int(b.attached.Load()),
		LastError:     b.lastErr,
	}
	switch {
	case b.closing:
		h.State = messaging.Closed
	case b.down:
		h.State = messaging.Connecting
	}
	return h
}

// HealthChanged implements [messaging.Watcher].
func (b *Broker) HealthChanged() <-chan struct{} { return b.health.Next() }

// now is the time on the clock that queues count in.
func (b *Broker) now() time.Duration { return time.Since(b.start) }

// declare returns the queue of that name, and creates it where there is none.
// It needs b.mu.
func (b *Broker) declare(spec messaging.QueueSpec) *queue {
	q := b.queues[spec.Name]
	if q == nil {
		q = newQueue(b, spec)
		b.queues[spec.Name] = q
	}
	return q
}

// remove deletes a queue with everything in it. It needs b.mu.
func (b *Broker) remove(q *queue) {
	delete(b.queues, q.spec.Name)
	q.unbind()
	q.delete()
}

// notify wakes up everyone who waits for a change of the broker's state. It
// needs b.mu.
func (b *Broker) notify() {
	close(b.changed)
	b.changed = make(chan struct{})
	b.health.Notify()
}
