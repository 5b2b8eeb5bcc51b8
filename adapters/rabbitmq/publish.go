package rabbitmq

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Publish implements [messaging.Publisher].
//
// The messages of all calls share a few channels, and their confirmations are
// awaited together: a call with many messages, and many goroutines with one
// each, are both far faster than one call after another.
//
// A topic whose exchange does not exist has nobody bound to it, so that is no
// error. A delayed message to it is then gone; otherwise it goes to the groups
// that are bound when its time comes.
//
// A message that the broker refuses is sent again for reject_timeout before it
// is ErrRejected: RabbitMQ gives no reason, and while a quorum queue changes
// its leader it refuses what it takes a moment later. On a topic, the groups that took it
// get it again, under the same ID, as long as the queue of another is full.
func (b *Broker) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	if err := messaging.Prepare(to, msgs); err != nil {
		return err
	}
	if len(msgs) == 0 {
		return nil
	}
	if b.enterLate("publish") != nil {
		errs := make([]error, len(msgs))
		for i := range errs {
			errs[i] = messaging.ErrClosed
		}
		return publishError(to, msgs, errs)
	}
	defer b.calls.Done()
	direct, delayed := b.ways(ctx, to, msgs)
	frameLimit := b.publishes.frameLimit()
	errs := b.publisher.send(ctx, len(msgs), func(i int) (outgoing, error) {
		o, err := b.outgoing(to, msgs[i], frameLimit)
		switch {
		case err != nil:
			return o, err
		case msgs[i].Delay > 0:
			return o, delayed
		default:
			return o, direct
		}
	})
	for _, err := range errs {
		if code(err) == amqp.NotFound { // of delayed messages only: the first exchange of their way
			b.lostWay(ctx)
		}
	}
	return publishError(to, msgs, errs)
}

// publishError names the messages that have an error, nil where none has.
func publishError(to messaging.Address, msgs []*messaging.Message, errs []error) error {
	var failed []messaging.MessageError
	for i, err := range errs {
		if err != nil {
			failed = append(failed, messaging.MessageError{Index: i, ID: msgs[i].ID, Err: err})
		}
	}
	if failed == nil {
		return nil
	}
	return &messaging.PublishError{To: to, Failed: failed}
}

// ways says why msgs without a delay, and those with one, cannot be sent: nil
// where they can.
func (b *Broker) ways(ctx context.Context, to messaging.Address, msgs []*messaging.Message) (direct, delayed error) {
	var longest time.Duration
	shortest, replies := messaging.MaxDelay, false
	for _, m := range msgs {
		longest, shortest = max(longest, m.Delay), min(shortest, m.Delay)
		replies = replies || m.ReplyTo != ""
	}
	if to.IsQueue() && longest == 0 && !replies {
		return nil, nil
	}
	ctx, cancel := b.publisher.patient(ctx)
	defer cancel()
	if err := b.awaitReplies(ctx, msgs); err != nil {
		return notSent(err), notSent(err)
	}
	if shortest == 0 && to.IsTopic() {
		direct = notSent(b.lookForTopic(ctx, to.Name()))
	}
	if longest > 0 {
		delayed = b.wayFor(ctx, to, longest)
	}
	return direct, delayed
}

// wayFor opens the way for a delay. The binding at its end is what shows that
// the queue or topic exists.
func (b *Broker) wayFor(ctx context.Context, to messaging.Address, delay time.Duration) error {
	err := b.openWay(ctx, to, delay)
	switch {
	case code(err) != amqp.NotFound:
		return notSent(err)
	case to.IsTopic():
		return errNobody
	default:
		return messaging.ErrUnroutable
	}
}

func notSent(err error) error {
	if err == nil || err == errNobody { //nolint:errorlint // it is never wrapped
		return err
	}
	return fmt.Errorf("not sent: %w", explain(err))
}

func (b *Broker) outgoing(to messaging.Address, m *messaging.Message, frameLimit int) (outgoing, error) {
	if err := messaging.CheckSize(m, b.cfg.maxMessageSize); err != nil {
		return outgoing{}, err
	}
	p, err := encode(b.cfg.marshaler, m)
	if err != nil {
		return outgoing{}, err
	}
	o := address(to, m, p)
	return o, checkPublishing(&o.publishing, b.cfg.maxMessageSize, frameLimit)
}

// address sends p, made of m, on its way.
func address(to messaging.Address, m *messaging.Message, p amqp.Publishing) outgoing {
	switch topic := to.IsTopic(); {
	case topic && m.Delay > 0:
		return delayedToTopic(p, to.Name(), m.Key, m.Delay)
	case topic:
		return toTopic(to.Name(), m.Key, p)
	}
	noteKey(&p, m.Key)
	if m.Delay > 0 {
		return delayed(p, to.Name(), m.Delay)
	}
	return toQueue(to.Name(), p)
}
