package memory

import (
	"context"
	"fmt"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Get returns the message at the head of a queue, or of a topic's group, at
// once: ErrEmpty where there is none, ErrNotFound where there is no queue. The message is held until it
// is settled. That returns an error that wraps ErrSettled when the connection
// was lost or the queue deleted meanwhile, because the verdict then has no
// effect.
func (b *Broker) Get(ctx context.Context, from messaging.Source) (*messaging.Pending, error) {
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	src := from.WithDefaults()
	if isPrivate(&src) {
		return nil, fmt.Errorf("get from %s: Source.Group is empty: a private subscription begins with what is "+
			"published after it, so there is nothing to get; name a group", src.Address)
	}
	var d *messaging.Delivery
	var h hold
	err := b.with(ctx, src.Queue(), func(q *queue) { d, h = q.get(&src) })
	if err == nil && d == nil {
		err = messaging.ErrEmpty
	}
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", src.Address, err)
	}
	id, attempt := d.ID, d.Attempt // of the receiver's copy, which may change
	return messaging.NewPending(*d, func(err error) error { return h.verdict(err, id, attempt) }), nil
}

// get returns nil when the queue is empty. It needs q.mu.
func (q *queue) get(src *messaging.Source) (*messaging.Delivery, hold) {
	e := q.first()
	if e == nil {
		return nil, hold{}
	}
	q.handOut(e, nil)
	if src.AutoAck {
		q.take(e)
	}
	return e.delivery(src.Address), hold{q: q, e: e, src: src}
}

// verdict settles a message that was got, as a handler's error does.
func (h hold) verdict(err error, id string, attempt int) error {
	if h.src.AutoAck {
		return nil
	}
	err = h.settle(messaging.Decide(err, attempt, h.src.Retry))
	if err != nil {
		return fmt.Errorf("settle message %s from %s: %w", id, h.src.Address, err)
	}
	return nil
}
