package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Get implements [messaging.Getter] by basic.get: each message costs a round
// trip to the broker. A queue, or a group of a topic, that does not exist is
// ErrNotFound. The message is held until it is settled.
func (b *Broker) Get(ctx context.Context, from messaging.Source) (*messaging.Pending, error) {
	if err := from.Validate(); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	src := from.WithDefaults()
	doing := "get from " + src.Address.String()
	if isPrivate(src) {
		return nil, fmt.Errorf("%s: Source.Group is empty: a private subscription begins with what is published after it, so there is nothing to get; name a group", doing)
	}
	if err := b.enter(doing); err != nil {
		return nil, err
	}
	defer b.calls.Done()
	for {
		p, err := b.get(ctx, src)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, explain(err))
		}
		if p != nil {
			return p, nil
		}
	}
}

// fetched is a message that basic.get has brought.
type fetched struct {
	by  *puller // nil where there was none
	raw amqp.Delivery
}

// get returns a message, or nil where there was one that is not to be seen.
func (b *Broker) get(ctx context.Context, src messaging.Source) (*messaging.Pending, error) {
	f, err := b.fetch(ctx, src)
	if err != nil {
		return nil, err
	}
	if f.by == nil {
		return nil, messaging.ErrEmpty
	}
	h := &held{b: b, src: src, fetched: f, job: &job{raw: f.raw, queue: src.Queue().Name()}}
	h.job.control = takeControl(&h.job.raw)
	if h.job.control.expired(&h.job.raw, time.Now()) {
		return nil, h.settle(nil)
	}
	if err := h.job.decode(b.cfg, src.Address); err != nil {
		return nil, h.undecodable(err)
	}
	return messaging.NewPending(*h.job.delivery, h.settle), nil
}

// fetch asks the broker. What comes too late goes back to its queue.
func (b *Broker) fetch(ctx context.Context, src messaging.Source) (fetched, error) {
	var mu sync.Mutex
	var got fetched
	gone := false
	err := b.ask(ctx, func(g *generation) error {
		p, err := g.puller(src.Queue().Name())
		if err != nil {
			return err
		}
		raw, ok, err := p.get(src.AutoAck)
		if err != nil || !ok {
			p.release()
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if gone {
			p.back(&raw)
			return nil
		}
		got = fetched{by: p, raw: raw}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	gone = true
	if err != nil && got.by != nil {
		b.tasks.Go(func() { got.by.back(&got.raw) })
	}
	return got, err
}

// held is a message that its receiver settles.
type held struct {
	fetched
	b   *Broker
	src messaging.Source
	job *job
}

// openWay implements way.
func (h *held) openWay(ctx context.Context, to messaging.Address, delay time.Duration) error {
	return h.b.openWay(ctx, to, delay)
}

// lostWay implements way: nothing is remembered.
func (h *held) lostWay() {}

// settle carries out a verdict. An error says that the message will come
// again.
func (h *held) settle(verdict error) error {
	if h.src.AutoAck {
		h.by.release()
		return nil
	}
	return h.carryOut(messaging.Decide(verdict, h.job.attempt(), h.src.Retry))
}

func (h *held) undecodable(err error) error {
	if h.src.AutoAck {
		h.b.cfg.log.Warn("dropping message that cannot be decoded", "id", h.raw.MessageId, "from", h.src.Address, "error", err, h.job.trace())
		return h.settle(nil)
	}
	h.b.cfg.log.Warn("dead-lettering message that cannot be decoded", "id", h.raw.MessageId, "from", h.src.Address,
		"to", h.src.Retry.DeadLetter, "error", err, h.job.trace())
	return h.carryOut(messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonUndecodable, Err: err})
}

func (h *held) carryOut(dec messaging.Decision) error {
	doing := fmt.Sprintf("settle message %s from %s", h.raw.MessageId, h.src.Address)
	if err := h.b.enterLate(doing); err != nil {
		return err
	}
	defer h.b.calls.Done()
	defer h.by.release()
	if dec.Action == messaging.Release {
		return h.answered(doing, h.by.ch.Nack(h.raw.DeliveryTag, false, true))
	}
	if dec.Action != messaging.Acknowledge {
		if err := h.b.place(h.b.life, h, h.job, h.src, dec); err != nil {
			return fmt.Errorf("%s: %s: %w", doing, dec.Action, h.back(err))
		}
	}
	return h.answered(doing, h.by.ch.Ack(h.raw.DeliveryTag, false))
}

// back returns the message to its queue, because its copy could not be stored.
func (h *held) back(err error) error {
	_ = h.by.ch.Reject(h.raw.DeliveryTag, true) // fails only with the channel, which returns it too
	return err
}

func (h *held) answered(doing string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w; it is delivered again", doing, explain(err))
	}
	return nil
}
