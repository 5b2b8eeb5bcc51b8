package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// move takes a message to where it goes after a failure: a copy is stored
// there first, then the original is acknowledged. Where the copy cannot be
// stored until the consumer ends, the original goes back to its queue.
func (c *consumer) move(j *job, dec messaging.Decision) {
	for attempt := 0; ; attempt++ {
		err := c.s.b.place(c.ctx, c, j, c.s.src, dec)
		if err == nil || c.s.lostItsQueue(dec, err) {
			c.acks.ack(j.raw.DeliveryTag)
			return
		}
		if c.ctx.Err() != nil || !c.reportAndPause(j, dec, attempt, err) {
			c.acks.requeue(j.raw.DeliveryTag, true)
			return
		}
	}
}

// lostItsQueue says whether a retry failed for good: a private queue is gone
// when its subscription ends, and what was to be tried again goes with it.
func (s *subscription) lostItsQueue(dec messaging.Decision, err error) bool {
	return isPrivate(s.src) && dec.Action == messaging.Again &&
		(errors.Is(err, messaging.ErrUnroutable) || errors.Is(err, messaging.ErrNotFound) || code(err) == amqp.NotFound)
}

// reportAndPause says that a message cannot be moved, and waits.
func (c *consumer) reportAndPause(j *job, dec messaging.Decision, attempt int, err error) bool {
	err = fmt.Errorf("%s of message %s from %s: %w", dec.Action, j.raw.MessageId, c.s.src.Address, err)
	c.s.b.note(err)
	if attempt == 0 {
		c.s.b.cfg.log.Warn("cannot move a message, trying on", "id", j.raw.MessageId, "from", c.s.src.Address,
			"action", dec.Action.String(), "error", err, j.trace())
	}
	return pause(c.ctx, backoff(attempt, reconnectFirst, reconnectMost))
}

// way makes sure that there is a way through the wait queues.
type way interface {
	openWay(ctx context.Context, to messaging.Address, delay time.Duration) error
	lostWay() // an exchange of it is gone
}

func (c *consumer) lostWay() {
	c.way.Lock()
	defer c.way.Unlock()
	c.far = 0
}

// wayTrusted is how long a way is taken to be open. Somebody may delete an
// exchange or a binding of it at any time, and nothing tells.
const wayTrusted = time.Second

// openWay opens it once in a while for a consumer, which may fail thousands of
// messages a second.
func (c *consumer) openWay(ctx context.Context, to messaging.Address, delay time.Duration) error {
	c.way.Lock()
	defer c.way.Unlock()
	if delay <= c.far && time.Since(c.opened) < wayTrusted {
		return nil
	}
	far := max(delay, c.far)
	if err := c.s.b.openWay(ctx, to, far); err != nil {
		return err
	}
	c.far, c.opened = far, time.Now()
	return nil
}

// place stores a copy of j's message where dec says, and waits until the
// broker has confirmed that. A message that cannot be sent together with what a
// retry notes in it is dead-lettered instead.
func (b *Broker) place(ctx context.Context, w way, j *job, src messaging.Source, dec messaging.Decision) error {
	limit := b.publishes.frameLimit()
	o := copyOf(j, src, dec, limit)
	err := checkFrame(&o.publishing, limit)
	if err != nil && dec.Action == messaging.Again {
		dec = messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonRejected,
			Err: fmt.Errorf("it cannot be tried again: %w; %w", err, dec.Err)}
		b.cfg.log.Warn("dead-lettering message that is too large to be tried again", "id", j.raw.MessageId,
			"from", src.Address, "to", src.Retry.DeadLetter, "error", dec.Err, j.trace())
		o = copyOf(j, src, dec, limit)
		err = checkFrame(&o.publishing, limit)
	}
	switch {
	case err != nil:
		return err
	case dec.Action == messaging.DeadLetter:
		return b.placeDead(ctx, o)
	case dec.Action == messaging.Again && dec.Wait > 0:
		if err := w.openWay(ctx, messaging.Queue(j.queue), dec.Wait); err != nil {
			return explain(err)
		}
	}
	err = b.store(ctx, o)
	if code(err) == amqp.NotFound && o.exchange != "" {
		w.lostWay()
		b.lostWay(ctx)
	}
	return err
}

// copyOf is j's message on its way to where dec says, by frames of limit bytes.
func copyOf(j *job, src messaging.Source, dec messaging.Decision, limit int) outgoing {
	switch dec.Action {
	case messaging.DeadLetter:
		return toQueue(src.Retry.DeadLetter.Name(), deadCopy(j, src.Queue(), dec, limit))
	case messaging.Move:
		p := redrivenCopy(&j.raw)
		noteKey(&p, j.control.key)
		return toQueue(dec.To.Name(), p)
	}
	p := retryCopy(&j.raw, &j.control, j.attempt(), time.Now())
	noteKey(&p, j.control.key)
	if dec.Wait > 0 {
		return delayed(p, j.queue, dec.Wait)
	}
	return toQueue(j.queue, p)
}

// placeDead stores a dead letter. Where its queue was deleted meanwhile, it is
// declared again.
func (b *Broker) placeDead(ctx context.Context, o outgoing) error {
	queue := o.key
	err := b.store(ctx, o)
	if !errors.Is(err, messaging.ErrUnroutable) {
		return err
	}
	if err := b.ask(ctx, func(g *generation) error { return b.ensure(g, b.specOf(queue)) }); err != nil {
		return fmt.Errorf("declare the dead-letter queue %s again: %w", queue, explain(err))
	}
	return b.store(ctx, o)
}

// toQueue is p on the way to a queue, by the exchange that knows all of them.
func toQueue(queue string, p amqp.Publishing) outgoing {
	return outgoing{key: queue, mandatory: true, publishing: p}
}

// toTopic is p on the way to a topic. Nobody needs to be bound to it.
func toTopic(topic, key string, p amqp.Publishing) outgoing {
	return outgoing{exchange: topic, key: key, publishing: p}
}

func (b *Broker) store(ctx context.Context, m outgoing) error {
	if errs := b.publisher.send(ctx, 1, func(int) (outgoing, error) { return m, nil }); errs != nil {
		return errs[0]
	}
	return nil
}
