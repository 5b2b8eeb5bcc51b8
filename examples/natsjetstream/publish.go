package natsjetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/warrenmq/warren/pkg/messaging"
)

// outgoing is one message on its way to a stream.
type outgoing struct {
	msg    *nats.Msg
	future jetstream.PubAckFuture // of this attempt; nil where it was not sent
	sent   bool                   // by this attempt, or one before
	done   bool
	err    error // once done
}

func (o *outgoing) finish(err error) { o.done, o.err = true, err }

// Publish sends the messages, see [messaging.Publisher]: many on their way at
// once, each confirmed by its stream.
func (b *Broker) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	if err := messaging.Prepare(to, msgs); err != nil {
		return err
	}
	ctx, cancel := b.bound(ctx)
	defer cancel()
	out := make([]*outgoing, len(msgs))
	for i, m := range msgs {
		out[i] = b.outgoing(ctx, to, m)
	}
	b.send(ctx, to, out)
	var failed []messaging.MessageError
	for i, o := range out {
		if o.err != nil {
			failed = append(failed, messaging.MessageError{Index: i, ID: msgs[i].ID, Err: o.err})
		}
	}
	if failed != nil {
		return &messaging.PublishError{To: to, Failed: failed}
	}
	return nil
}

func (b *Broker) outgoing(ctx context.Context, to messaging.Address, m *messaging.Message) *outgoing {
	o := &outgoing{msg: encode(m)}
	if err := b.checkSize(m, o.msg); err != nil {
		o.finish(err)
		return o
	}
	o.msg.Subject = queuePlace(to.Name()).subject
	if to.IsTopic() {
		o.msg.Subject = topicSubject(to.Name(), m.Key)
	}
	if m.Delay > 0 { // whether there is such a queue is asked now, since nobody hears of it later
		if err := b.retry(ctx, func(ctx context.Context) error { return b.redirect(ctx, to, o.msg) }); err != nil {
			o.finish(err)
		}
		hold(o.msg, time.Now().Add(m.Delay))
	}
	return o
}

// checkSize holds m to the server's limit of a message, and to JetStream's of
// its headers, whose size is that of their text: a line each.
func (b *Broker) checkSize(m *messaging.Message, out *nats.Msg) error {
	if err := messaging.CheckSize(m, int(b.nc.MaxPayload())-maxHeaders); err != nil {
		return err
	}
	size := 0
	for key, values := range out.Header {
		size += len(key) + len(": ") + len(values[0]) + len("\r\n")
	}
	if size > maxHeaders {
		return fmt.Errorf("%w: the headers have %d bytes as they are sent; the limit is %d", messaging.ErrTooLarge, size, maxHeaders)
	}
	return nil
}

// send1 sends one message of the adapter's own, such as a dead letter.
func (b *Broker) send1(ctx context.Context, to messaging.Address, m *nats.Msg) error {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	o := &outgoing{msg: m}
	b.send(ctx, to, []*outgoing{o})
	return o.err
}

// pipelined is how many messages of one call are on their way at once.
const pipelined = 256

// ackTimeout is how long a stream may take to confirm before a message is sent
// again.
const ackTimeout = 5 * time.Second

// send returns when each message has been confirmed, or cannot be, or ctx has
// ended.
func (b *Broker) send(ctx context.Context, to messaging.Address, out []*outgoing) {
	for _, o := range out {
		// The stream drops what it has seen before (for two minutes), so what
		// is sent again is stored once. The message's own ID will not do: it
		// may be published twice on purpose, and is when it is redriven.
		o.msg.Header.Set(jetstream.MsgIDHeader, messaging.NewID())
	}
	for chunk := range slices.Chunk(out, pipelined) {
		for left := chunk; ; {
			left = slices.DeleteFunc(slices.Clone(left), func(o *outgoing) bool { return o.done })
			if len(left) == 0 {
				break
			}
			b.attempt(ctx, to, left)
		}
	}
}

// attempt sends each message once, and waits for what becomes of it.
func (b *Broker) attempt(ctx context.Context, to messaging.Address, out []*outgoing) {
	_, err := b.connection(ctx)
	if ctx.Err() != nil {
		err = ended(ctx)
	}
	for _, o := range out {
		o.future = nil
		sendErr := err
		if err == nil {
			o.future, sendErr = b.js.PublishMsgAsync(o.msg, jetstream.WithRetryAttempts(0))
			o.sent = o.sent || sendErr == nil
		}
		if sendErr != nil {
			b.judge(ctx, to, o, sendErr)
		}
	}
	retry := false
	for _, o := range out {
		if o.done || o.future == nil {
			retry = retry || !o.done
			continue
		}
		select {
		case <-o.future.Ok():
			o.finish(nil)
		case err := <-o.future.Err():
			b.judge(ctx, to, o, err)
		case <-ctx.Done():
			b.judge(ctx, to, o, ended(ctx))
		}
		retry = retry || !o.done
	}
	if retry {
		pause(ctx, again)
	}
}

// judge is the table from NATS's errors to those of package messaging. What it
// leaves undone is sent again.
func (b *Broker) judge(ctx context.Context, to messaging.Address, o *outgoing, err error) {
	var refused *jetstream.APIError
	switch {
	case ctx.Err() != nil && o.sent:
		o.finish(fmt.Errorf("%w: %w", messaging.ErrUnconfirmed, ended(ctx)))
	case ctx.Err() != nil:
		o.finish(fmt.Errorf("not sent: %w", ended(ctx)))
	case errors.Is(err, jetstream.ErrNoStreamResponse): // no stream, or none that has a leader now
		err := b.once(ctx, func(ctx context.Context) error { return b.redirect(ctx, to, o.msg) })
		if err != nil && !passing(err) {
			o.finish(err)
		}
	case errors.As(err, &refused):
		o.finish(fmt.Errorf("%w: %s", messaging.ErrRejected, refused.Description))
	case errors.Is(err, nats.ErrConnectionClosed):
		o.finish(messaging.ErrClosed)
	case !passing(err):
		o.finish(err)
	}
}

// redirect asks where a queue is, for a message that is on its way to it.
func (b *Broker) redirect(ctx context.Context, to messaging.Address, m *nats.Msg) error {
	if !to.IsQueue() || m.Subject == holdSubject {
		return nil // who is bound to a topic is not the publisher's concern
	}
	p, err := b.find(ctx, to.Name())
	if errors.Is(err, messaging.ErrNotFound) {
		return messaging.ErrUnroutable
	}
	if err == nil {
		m.Subject = p.subject
	}
	return err
}
