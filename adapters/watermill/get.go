package watermill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/pkg/messaging"
)

var _ messaging.Getter = (*Broker)(nil)

// emptyAfter is how long a Watermill subscription may bring nothing until Get
// calls the queue empty.
const emptyAfter = 250 * time.Millisecond

// Get implements [messaging.Getter]: by a Watermill subscription for one
// message, since there is no other way. The queue counts as empty when nothing
// has come for 250 ms. Unlike a subscription, it can tell that a message could
// not be moved: Settle returns the error, and the message is back.
func (b *Broker) Get(ctx context.Context, from messaging.Source) (*messaging.Pending, error) {
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	j, err := b.get(ctx, from.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", from.Address, err)
	}
	if from.AutoAck {
		if err := j.done(messaging.Decision{Action: messaging.Acknowledge}); err != nil {
			b.note(err) // of the subscription's end: the message is here
		}
		return messaging.NewPending(j.delivery, func(error) error { return nil }), nil
	}
	return messaging.NewPending(j.delivery, func(verdict error) error {
		if err := j.done(messaging.Decide(verdict, j.attempt, j.s.src.Retry)); err != nil {
			return fmt.Errorf("settle message %s from %s: %w", j.received.ID, from.Address, err)
		}
		return nil
	}), nil
}

// get returns a message that is held, with a subscription of its own.
func (b *Broker) get(ctx context.Context, src messaging.Source) (*job, error) {
	if b.isClosing() {
		return nil, messaging.ErrClosed
	}
	s, err := b.newSubscription(context.WithoutCancel(ctx), src)
	if err != nil {
		return nil, err
	}
	in, err := s.open()
	if err != nil {
		return nil, err
	}
	m, err := in.first(ctx)
	if err != nil {
		return nil, errors.Join(err, in.leave())
	}
	return newJob(in, m, in.room()), nil
}

// first waits for a message that has not expired.
func (in *intake) first(ctx context.Context) (*message.Message, error) {
	empty := time.NewTimer(emptyAfter)
	defer empty.Stop()
	for {
		select {
		case m, ok := <-in.messages:
			if !ok {
				return nil, messaging.ErrClosed
			}
			if !decode(m).expired() {
				return m, nil
			}
			m.Ack()
		case <-empty.C:
			return nil, messaging.ErrEmpty
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// leave ends a subscription that Get has opened, and waits for that.
func (in *intake) leave() error {
	in.end()
	in.s.feeds.Go(in.giveBack)
	defer in.s.cut()
	defer in.s.cancel(nil)
	return in.s.finish()
}

// done carries out a decision at once, but for a wait: that goes on behind the
// caller's back, as long as the Broker is open.
func (j *job) done(dec messaging.Decision) error {
	switch {
	case dec.Action == messaging.Acknowledge || dec.Action == messaging.Release:
		j.end(dec.Action == messaging.Acknowledge)
	case j.mustHold(dec):
		return j.holdOn(dec)
	default:
		ctx, cancel := j.s.b.bound(context.Background())
		defer cancel()
		err := j.sendCopy(ctx, dec)
		j.end(err == nil)
		return errors.Join(err, j.in.leave())
	}
	return j.in.leave()
}

func (j *job) holdOn(dec messaging.Decision) error {
	if !j.s.b.join(j.s) {
		j.end(false)
		return errors.Join(messaging.ErrClosed, j.in.leave())
	}
	go func() {
		defer j.s.b.leave(j.s, nil)
		j.move(dec)
		_ = j.in.leave() // of no interest to anybody any more
	}()
	return nil
}
