package natsjetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Get implements [messaging.Getter]: a request for one message that hardly
// waits. Unlike a handler's verdict, that of [messaging.Pending.Settle] is
// confirmed by the broker.
func (b *Broker) Get(ctx context.Context, from messaging.Source) (*messaging.Pending, error) {
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	src := from.WithDefaults()
	if src.Address.IsTopic() && src.Group == "" {
		return nil, fmt.Errorf("get from %s: Source.Group is empty: a private subscription begins with what is published after it; name a group", src.Address)
	}
	var pending *messaging.Pending
	err := b.do(ctx, "get from "+src.Address.String(), func(ctx context.Context) error {
		p, err := b.find(ctx, src.Queue().Name())
		if err != nil {
			return err
		}
		j, err := b.getLive(ctx, src, p)
		if err == nil {
			pending, err = b.pending(ctx, j)
		}
		return err
	})
	return pending, err
}

// getLive returns a message that has not expired.
func (b *Broker) getLive(ctx context.Context, src messaging.Source, p place) (*job, error) {
	for {
		m, err := b.fetch(ctx, p)
		if err != nil {
			return nil, err
		}
		j := b.newJob(nil, src, p, m)
		if !j.expired() {
			return j, nil
		}
		j.Settle(messaging.Decision{Action: messaging.Acknowledge})
	}
}

// emptyAfter is how long a queue may bring nothing until it counts as empty. An
// answer at once (no_wait) would be wrong now and then: a consumer hears of a
// message a moment after its publisher does.
const emptyAfter = 250 * time.Millisecond

// fetch asks once for one message.
func (b *Broker) fetch(ctx context.Context, from place) (*nats.Msg, error) {
	p, err := b.newPull(from)
	if err != nil {
		return nil, err
	}
	defer p.end()
	if err := p.ask(request{Batch: 1, Expires: emptyAfter}); err != nil {
		return nil, err
	}
	m, err := p.next(ctx)
	if errors.Is(err, errOver) {
		p.asked = 0
		err = messaging.ErrEmpty
	}
	return m, err
}

func (b *Broker) pending(ctx context.Context, j *job) (*messaging.Pending, error) {
	if j.src.AutoAck {
		err := j.settle(ctx, messaging.Decision{Action: messaging.Acknowledge})
		return messaging.NewPending(j.delivery, func(error) error { return nil }), err
	}
	return messaging.NewPending(j.delivery, func(verdict error) error {
		ctx, cancel := b.bound(context.Background())
		defer cancel()
		if err := j.settle(ctx, messaging.Decide(verdict, j.attempt, j.src.Retry)); err != nil {
			return fmt.Errorf("settle message %s from %s: %w", j.delivery.ID, j.src.Address, err)
		}
		return nil
	}), nil
}

// settle carries out a decision while the caller waits. Where the message cannot
// be forwarded, it goes back to its queue.
func (j *job) settle(ctx context.Context, dec messaging.Decision) error {
	if !j.settled.CompareAndSwap(false, true) {
		return fmt.Errorf("the connection was lost, and the message is back in its queue: %w", messaging.ErrSettled)
	}
	var err error
	switch dec.Action {
	case messaging.Acknowledge:
		err = j.confirm(ctx)
	case messaging.Release:
		err = j.msg.Nak()
	default:
		if err = j.forward(ctx, dec); err == nil {
			err = j.confirm(ctx)
		} else {
			j.b.report("return a message", j.msg.Nak())
		}
	}
	j.end(nil)
	return err
}

// confirm acknowledges the message, and waits until that is stored.
func (j *job) confirm(ctx context.Context) error {
	return j.b.once(ctx, func(ctx context.Context) error { return j.msg.AckSync(nats.Context(ctx)) })
}
