package watermill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Broker makes a [messaging.Broker] of a Watermill Pub/Sub, as far as that
// goes: the package's documentation says how far.
type Broker struct {
	pub message.Publisher
	sub message.Subscriber
	settings

	life context.Context // ends when Close cuts, or is over
	end  context.CancelFunc

	mu      sync.Mutex
	subs    map[*subscription]struct{}
	closing bool // Close was called: subscriptions drain
	since   time.Time
	lastErr error
	drained chan struct{} // closed when closing and the last subscription has ended
	over    chan struct{} // closed when Close is

	unfinished int   // subscriptions that had to leave handlers behind while closing
	closeErr   error // set before over is closed
}

var _ messaging.Broker = (*Broker)(nil)

// NewBroker makes a Broker of pub and sub, which it owns from then on: Close
// closes them.
func NewBroker(pub message.Publisher, sub message.Subscriber, opts ...BrokerOption) *Broker {
	b := &Broker{
		pub:      pub,
		sub:      sub,
		settings: newSettings(opts),
		subs:     map[*subscription]struct{}{},
		since:    time.Now(),
		drained:  make(chan struct{}),
		over:     make(chan struct{}),
	}
	b.life, b.end = context.WithCancel(context.Background())
	return b
}

// Declare initializes the queue's Watermill topic, where the Subscriber is a
// message.SubscribeInitializer; other Pub/Subs need no such thing. Any property
// but the name needs [WithManager].
func (b *Broker) Declare(ctx context.Context, q messaging.QueueSpec) error {
	if err := q.Validate(); err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	doing := "declare " + q.Name
	if b.manager != nil {
		return b.manage(doing, func() error { return b.manager.Declare(ctx, q) })
	}
	return b.manage(doing, func() error {
		if q != (messaging.QueueSpec{Name: q.Name}) {
			return errors.Join(errors.New("a Watermill Pub/Sub cannot be asked for properties of a queue"), errManager)
		}
		return b.initialize(messaging.Queue(q.Name))
	})
}

// initialize lets the Pub/Sub prepare a topic, where it needs to.
func (b *Broker) initialize(a messaging.Address) error {
	topic, err := b.topic(a)
	if err != nil {
		return err
	}
	if i, ok := b.sub.(message.SubscribeInitializer); ok {
		return i.SubscribeInitialize(topic)
	}
	return nil
}

// Bind needs [WithManager].
func (b *Broker) Bind(ctx context.Context, from messaging.Source) error {
	return b.delegate("bind", from.Address, func(m messaging.Manager) error { return m.Bind(ctx, from) })
}

// Inspect needs [WithManager].
func (b *Broker) Inspect(ctx context.Context, q messaging.Address) (info messaging.QueueInfo, err error) {
	err = b.delegate("inspect", q, func(m messaging.Manager) error {
		info, err = m.Inspect(ctx, q)
		return err
	})
	return info, err
}

// Purge needs [WithManager].
func (b *Broker) Purge(ctx context.Context, q messaging.Address) (n int, err error) {
	err = b.delegate("purge", q, func(m messaging.Manager) error {
		n, err = m.Purge(ctx, q)
		return err
	})
	return n, err
}

// Delete needs [WithManager].
func (b *Broker) Delete(ctx context.Context, a messaging.Address) error {
	return b.delegate("delete", a, func(m messaging.Manager) error { return m.Delete(ctx, a) })
}

var errManager = fmt.Errorf("give the Broker a Manager (WithManager): %w", errors.ErrUnsupported)

func (b *Broker) delegate(doing string, a messaging.Address, f func(messaging.Manager) error) error {
	return b.manage(doing+" "+a.String(), func() error {
		if b.manager == nil {
			return errManager
		}
		return f(b.manager)
	})
}

func (b *Broker) manage(doing string, f func() error) error {
	if b.isClosing() {
		return fmt.Errorf("%s: %w", doing, messaging.ErrClosed)
	}
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Health reports what the Broker has seen of the Pub/Sub: Watermill has no way
// to ask. The State is Connected until Close.
func (b *Broker) Health() messaging.Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := messaging.Health{State: messaging.Connected, Since: b.since, LastError: b.lastErr}
	if b.closing {
		h.State = messaging.Closed
	}
	for s := range b.subs {
		if s.active() {
			h.Subscriptions++
		}
	}
	return h
}

// note keeps an error for Health.
func (b *Broker) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastErr = err
}

func (b *Broker) isClosing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closing
}

// join counts s in. It says no once the Broker is closing.
func (b *Broker) join(s *subscription) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.subs[s] = struct{}{}
	return true
}

// leave counts s out, with the error that it ended with.
func (b *Broker) leave(s *subscription, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, s)
	if b.closing && err != nil {
		b.unfinished++
	}
	if b.closing && len(b.subs) == 0 {
		close(b.drained)
	}
}

// cutGrace is how much longer than its context Close waits.
const cutGrace = 50 * time.Millisecond

// Close ends all subscriptions, which return ErrClosed, waits for them until
// ctx ends, and closes the Watermill Publisher and Subscriber, each once. One
// that does not return from its Close in time is left behind, and the error
// says so, and how many subscriptions had handlers that did not finish. A second
// Close waits for the first, until its own ctx ends, and returns the same.
func (b *Broker) Close(ctx context.Context) error {
	if !b.beginClose() {
		select {
		case <-b.over:
			return b.closeErr
		case <-ctx.Done():
			return fmt.Errorf("close: %w", ctx.Err())
		}
	}
	defer close(b.over)
	b.drain(ctx)
	b.end()
	b.closeErr = errors.Join(b.whatWasCut(ctx), b.closePubSub(ctx))
	return b.closeErr
}

func (b *Broker) beginClose() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.closing, b.since = true, time.Now()
	for s := range b.subs {
		s.cancel(messaging.ErrClosed)
	}
	if len(b.subs) == 0 {
		close(b.drained)
	}
	return true
}

// drain waits for the subscriptions, until ctx ends and not much longer.
func (b *Broker) drain(ctx context.Context) {
	select {
	case <-b.drained:
		return
	case <-ctx.Done():
	}
	b.end()
	select {
	case <-b.drained:
	case <-time.After(cutGrace):
	}
}

func (b *Broker) whatWasCut(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.subs) + b.unfinished; n > 0 {
		return fmt.Errorf("close: %d subscriptions had to be cut off: %w", n, cmp.Or(ctx.Err(), context.DeadlineExceeded))
	}
	return nil
}

func (b *Broker) closePubSub(ctx context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(b.sub.Close(), b.pub.Close()) }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-closed:
		return err
	case <-time.After(cutGrace):
		return fmt.Errorf("close: the Watermill Pub/Sub is still closing: %w", ctx.Err())
	}
}
