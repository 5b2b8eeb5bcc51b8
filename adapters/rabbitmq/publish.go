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
// A message that the broker refuses is sent again for reject_timeout before it
// is ErrRejected: RabbitMQ gives no reason, and while a quorum queue changes
// its leader it refuses what it takes a moment later.
func (b *Broker) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	if err := messaging.Prepare(to, msgs); err != nil {
		return err
	}
	if len(msgs) == 0 {
		return nil
	}
	if to.IsTopic() {
		return fmt.Errorf("publish to %s: %w", to, errTopics)
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
	wayErr := b.wayFor(ctx, to, msgs)
	for i, m := range msgs {
		o, err := b.outgoing(to, m)
		if err == nil && m.Delay > 0 {
			err = wayErr
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

// wayFor opens the way for the longest delay among msgs. The binding at its
// end is what shows that the queue exists.
func (b *Broker) wayFor(ctx context.Context, to messaging.Address, msgs []*messaging.Message) error {
	var longest time.Duration
	for _, m := range msgs {
		longest = max(longest, m.Delay)
	}
	if longest == 0 {
		return nil
	}
	patience := b.publisher.patience(ctx)
	defer patience.stop()
	err := b.openWay(patience.ctx, to.Name(), longest)
	switch {
	case code(err) == amqp.NotFound:
		return messaging.ErrUnroutable
	case err != nil:
		return fmt.Errorf("not sent: %w", explain(err))
	}
	return nil
}

func (b *Broker) outgoing(to messaging.Address, m *messaging.Message) (outgoing, error) {
	if err := checkBody(len(m.Body), b.cfg.maxMessageSize); err != nil {
		return outgoing{}, err
	}
	p, err := encode(b.cfg.marshaler, m)
	if err != nil {
		return outgoing{}, err
	}
	o := toQueue(to.Name(), p)
	if m.Delay > 0 {
		o = delayed(p, to.Name(), m.Delay)
	}
	return o, checkPublishing(&o.publishing, b.cfg.maxMessageSize)
}
