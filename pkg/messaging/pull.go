package messaging

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// Pending is a delivery that the receiver settles itself, in the vocabulary of
// [Handler].
type Pending struct {
	Delivery
	settle  func(verdict error) error
	settled atomic.Bool
}

// NewPending is for adapters: settle is called at most once, with the verdict.
func NewPending(d Delivery, settle func(verdict error) error) *Pending {
	return &Pending{Delivery: d, settle: settle}
}

// Settle says what became of the message: nil, or any error that a [Handler]
// may return. A second call returns ErrSettled. With Source.AutoAck the message
// is gone already, and the first call does nothing.
func (p *Pending) Settle(verdict error) error {
	if p.settled.Swap(true) {
		return fmt.Errorf("settle message %s from %s: %w", p.ID, p.From, ErrSettled)
	}
	return p.settle(verdict)
}

// Getter is what a Broker implements that can answer at once whether a queue
// has a message. [Get] uses it.
type Getter interface {
	// Get returns the next message of a queue or ErrEmpty.
	Get(ctx context.Context, from Source) (*Pending, error)
}

// emptyAfter is how long a subscription that is ready may bring nothing until
// Get, without a Getter, calls the queue empty.
const emptyAfter = 250 * time.Millisecond

// Get returns one message, or ErrEmpty where there is none. It asks a [Getter]
// at once; any other Subscriber is subscribed to for a moment, and the queue
// counts as empty when nothing came within 250 ms of the subscription becoming
// ready. The caller must settle the message: until then it is held.
//
// With Source.AutoAck the message is gone from the queue when Get returns:
// there is nothing to settle, Settle with any verdict is nil, and a caller that
// crashes has lost it. That holds for [Messages] too, for each message that
// the loop gets.
//
// It is for code that asks now and then. To handle a stream of messages,
// Subscribe is many times faster.
func Get(ctx context.Context, s Subscriber, from Source) (*Pending, error) {
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if g, ok := s.(Getter); ok {
		return g.Get(ctx, from)
	}
	return getBySubscription(ctx, s, from)
}

func getBySubscription(ctx context.Context, s Subscriber, from Source) (*Pending, error) {
	from.Concurrency, from.Prefetch, from.OrderBy = 1, 1, nil
	p := startPull(context.WithoutCancel(ctx), s, from)
	empty := time.NewTimer(emptyAfter)
	empty.Stop()
	defer empty.Stop()
	ready := p.ready
	for {
		select {
		case m := <-p.messages:
			return NewPending(m.Delivery, func(verdict error) error {
				return errors.Join(m.Settle(verdict), p.stop())
			}), nil
		case <-ready:
			ready = nil
			empty.Reset(emptyAfter)
		case <-empty.C:
			return nil, errors.Join(fmt.Errorf("get from %s: %w", from.Address, ErrEmpty), p.stop())
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("get from %s: %w", from.Address, ctx.Err()), p.stop())
		case <-p.ended:
			return nil, p.err
		}
	}
}

// Messages returns an iterator over the messages of a queue, for a plain loop.
// It ends after idle with no message (0 is never), counted from when the
// subscription has become active, when ctx ends, or with an error.
//
//	for m, err := range messaging.Messages(ctx, broker, src, 10*time.Second) {
//		if err != nil {
//			return err
//		}
//		err = m.Settle(work(m))
//	}
//
// The loop's body settles each message before it asks for the next. One that
// it left unsettled goes back to the queue, and the loop ends with an error
// that says so.
func Messages(ctx context.Context, s Subscriber, from Source, idle time.Duration) iter.Seq2[*Pending, error] {
	return func(yield func(*Pending, error) bool) {
		if err := checkMessages(from, idle); err != nil {
			yield(nil, err)
			return
		}
		from.Concurrency, from.OrderBy = 1, nil
		p := startPull(ctx, s, from)
		defer p.stop() //nolint:errcheck // reported below; this one is for a loop body that panics
		more, err := p.each(idle, yield)
		if err = errors.Join(err, p.stop()); err != nil && more {
			yield(nil, err)
		}
	}
}

func checkMessages(from Source, idle time.Duration) error {
	if err := from.Validate(); err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	if idle < 0 {
		return fmt.Errorf("messages: idle is %s; it must not be negative", idle)
	}
	return nil
}

// pull is a subscription that hands its messages over one at a time.
type pull struct {
	messages chan *Pending
	ready    chan struct{} // closed when the subscription has become active
	ended    chan struct{} // closed when Subscribe has returned
	err      error         // of Subscribe, once ended
	cancel   context.CancelFunc
}

func startPull(ctx context.Context, s Subscriber, from Source) *pull {
	ctx, cancel := context.WithCancel(ctx)
	p := &pull{
		messages: make(chan *Pending),
		ready:    make(chan struct{}),
		ended:    make(chan struct{}),
		cancel:   cancel,
	}
	var first sync.Once
	announce := from.Ready
	from.Ready = func() {
		first.Do(func() { close(p.ready) })
		if announce != nil {
			announce()
		}
	}
	go func() {
		defer close(p.ended)
		p.err = s.Subscribe(ctx, from, func(_ context.Context, d *Delivery) error { return p.hand(ctx, d) })
	}()
	return p
}

// hand is the handler: it gives the message to the loop and waits for its
// verdict.
func (p *pull) hand(ctx context.Context, d *Delivery) error {
	verdict := make(chan error, 1)
	m := NewPending(*d, func(v error) error { verdict <- v; return nil })
	select {
	case p.messages <- m:
		return <-verdict
	case <-ctx.Done():
		return Requeue(ctx.Err())
	}
}

// each calls yield for every message. It reports whether yield may be called
// again.
func (p *pull) each(idle time.Duration, yield func(*Pending, error) bool) (more bool, err error) {
	var quiet <-chan time.Time
	timer := time.NewTimer(max(idle, 1))
	timer.Stop()
	defer timer.Stop()
	ready := p.ready // before it, nothing can come, and that is no quiet
	for {
		if idle > 0 && ready == nil {
			timer.Reset(idle)
			quiet = timer.C
		}
		select {
		case m := <-p.messages:
			var left bool
			if more, left = yieldOne(m, yield); left && more {
				return true, fmt.Errorf("message %s from %s was not settled before the next was asked for; "+
					"it went back to the queue", m.ID, m.From)
			}
			if !more {
				return false, nil
			}
		case <-ready:
			ready = nil
		case <-quiet:
			return true, nil
		case <-p.ended:
			return true, nil
		}
	}
}

// yieldOne runs the loop's body and says whether it left m unsettled. It gives
// m back even when the body panics.
func yieldOne(m *Pending, yield func(*Pending, error) bool) (more, left bool) {
	defer func() { left = m.Settle(Requeue(nil)) == nil }()
	return yield(m, nil), false
}

// stop ends the subscription, waits for it and returns its error.
func (p *pull) stop() error {
	p.cancel()
	<-p.ended
	return p.err
}
