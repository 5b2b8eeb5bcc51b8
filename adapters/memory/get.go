package memory

import (
	"context"
	"fmt"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Get returns the message at the head of a queue, or ErrEmpty, at once. As
// Subscribe does, it declares what is missing. The message is held until it is
// settled; that returns an error when the connection was lost or the queue
// deleted meanwhile, because the verdict then has no effect.
func (b *Broker) Get(ctx context.Context, from messaging.Source) (*messaging.Pending, error) {
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	src := from.WithDefaults()
	if src.Address.IsTopic() {
		return nil, noTopics("get from", src.Address)
	}
	d, err := b.get(ctx, &src)
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", src.Address, err)
	}
	return messaging.NewPending(d.out, d.verdict), nil
}

func (b *Broker) get(ctx context.Context, src *messaging.Source) (*delivery, error) {
	if err := b.enter(ctx, managing); err != nil {
		return nil, err
	}
	b.mu.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, messaging.ErrClosed
	}
	b.declare(messaging.QueueSpec{Name: src.Retry.DeadLetter.Name()})
	q := b.declare(messaging.QueueSpec{Name: src.Address.Name()})

	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.first()
	if e == nil {
		return nil, messaging.ErrEmpty
	}
	h := q.handOut(e, nil)
	if src.AutoAck {
		q.take(h.hold)
	}
	return newDelivery(h, src), nil
}

// verdict settles a message that was got, as a handler's error does.
func (d *delivery) verdict(err error) error {
	if d.src.AutoAck {
		return nil
	}
	// The receiver has a copy of the Delivery, so Attempt is as it was.
	if !d.settle(messaging.Decide(err, d.out.Attempt, d.src.Retry)) {
		return fmt.Errorf("settle message %s from %s: it is no longer held, because the connection was lost "+
			"or the queue deleted: %w", d.out.ID, d.out.From, messaging.ErrSettled)
	}
	return nil
}
