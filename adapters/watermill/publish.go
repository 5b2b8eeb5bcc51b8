package watermill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Publish hands the messages to the Watermill Publisher one by one, since only
// then can the error name those that failed. What the Publisher returns an
// error for is ErrUnconfirmed: Watermill does not say whether it was stored.
// It is not sent again.
//
// nil means what the Publisher means by it. When ctx ends, Publish returns at
// once, though the Publisher may still be busy with the message: it is
// ErrUnconfirmed too.
func (b *Broker) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	if err := messaging.Prepare(to, msgs); err != nil {
		return err
	}
	topic, err := b.topic(to)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	ctx, cancel := b.bound(ctx)
	defer cancel()
	var failed []messaging.MessageError
	for i, m := range msgs {
		if err := b.publish(ctx, topic, m); err != nil {
			failed = append(failed, messaging.MessageError{Index: i, ID: m.ID, Err: err})
		}
	}
	if failed != nil {
		return &messaging.PublishError{To: to, Failed: failed}
	}
	return nil
}

func (b *Broker) publish(ctx context.Context, topic string, m *messaging.Message) error {
	if m.Delay > 0 && !b.delays {
		return fmt.Errorf("this Pub/Sub cannot delay messages (WithDelays): %w", errors.ErrUnsupported)
	}
	out := encode(m)
	setDelay(out, m.Delay)
	return b.send(ctx, topic, out)
}

// bound is ctx for a call: it ends with the Broker, and after the time that a
// call without deadline has.
func (b *Broker) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.life, func() { cancel(messaging.ErrClosed) })
	if b.life.Err() != nil { // AfterFunc takes its time
		cancel(messaging.ErrClosed)
	}
	release := func() { stop(); cancel(nil) }
	if _, limited := ctx.Deadline(); limited {
		return ctx, release
	}
	ctx, free := context.WithTimeout(ctx, messaging.DefaultPublishTimeout)
	return ctx, func() { free(); release() }
}

// sendGrace is how much longer than its context a Publisher may take to say
// what is the matter. Rule P5 has 50 ms.
const sendGrace = 20 * time.Millisecond

// send waits for the Publisher until ctx ends, and not much longer.
func (b *Broker) send(ctx context.Context, topic string, m *message.Message) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	m.SetContext(ctx)
	sent := make(chan error, 1)
	go func() { sent <- b.pub.Publish(topic, m) }()
	select {
	case err := <-sent:
		return b.sent(err)
	case <-ctx.Done():
	}
	grace := time.NewTimer(sendGrace)
	defer grace.Stop()
	select {
	case err := <-sent:
		if err != nil {
			err = fmt.Errorf("%w (%w)", err, ended(ctx))
		}
		return b.sent(err)
	case <-grace.C:
		return fmt.Errorf("%w: %w", messaging.ErrUnconfirmed, ended(ctx))
	}
}

// sent is what the Publisher's error means.
func (b *Broker) sent(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: %w", messaging.ErrUnconfirmed, err)
	b.note(err)
	return err
}

// ended is the error of a ctx that has ended, and why.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w (%w)", cause, ctx.Err())
	}
	return ctx.Err()
}
