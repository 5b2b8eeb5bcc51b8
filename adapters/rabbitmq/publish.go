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
	errs := make([]error, len(msgs))
	if b.enterLate("publish") != nil {
		for i := range errs {
			errs[i] = messaging.ErrClosed
		}
		return publishError(to, msgs, errs)
	}
	defer b.calls.Done()
	out, index := b.prepare(ctx, to, msgs, errs)
	if len(out) > 0 {
		for i, err := range b.publisher.send(ctx, out) {
			errs[index[i]] = err
			if code(err) == amqp.NotFound { // of delayed messages only: the first exchange of their way
				b.lostWay(ctx)
			}
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

// prepare makes AMQP messages of msgs, as far as that can be, and says which
// of msgs they are. The others get an error in errs.
func (b *Broker) prepare(ctx context.Context, to messaging.Address, msgs []*messaging.Message, errs []error) ([]outgoing, []int) {
	out := make([]outgoing, 0, len(msgs))
	index := make([]int, 0, len(msgs))
	direct, delayed := b.ways(ctx, to, msgs)
	for i, m := range msgs {
		o, err := b.outgoing(to, m)
		if err == nil {
			err = direct
			if m.Delay > 0 {
				err = delayed
			}
		}
		if err == errNobody { //nolint:errorlint // it is never wrapped
			continue
		}
		if err != nil {
			errs[i] = err
			continue
		}
		out = append(out, o)
		index = append(index, i)
	}
	return out, index
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
	patience := b.publisher.patience(ctx)
	defer patience.stop()
	if err := b.awaitReplies(patience.ctx, msgs); err != nil {
		return notSent(err), notSent(err)
	}
	if shortest == 0 && to.IsTopic() {
		direct = notSent(b.lookForTopic(patience.ctx, to.Name()))
	}
	if longest > 0 {
		delayed = b.wayFor(patience.ctx, to, longest)
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

func (b *Broker) outgoing(to messaging.Address, m *messaging.Message) (outgoing, error) {
	if err := messaging.CheckSize(m, b.cfg.maxMessageSize); err != nil {
		return outgoing{}, err
	}
	p, err := encode(b.cfg.marshaler, m)
	if err != nil {
		return outgoing{}, err
	}
	o := address(to, m, p)
	return o, checkPublishing(&o.publishing, b.cfg.maxMessageSize)
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
