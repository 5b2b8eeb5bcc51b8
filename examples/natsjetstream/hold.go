package natsjetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// hold makes m wait until a time before it goes to its subject. Everything that
// waits, for a delay or a retry, is in one stream; every Broker takes part in
// moving it on, so that it does not matter which program put it there.
func hold(m *nats.Msg, until time.Time) {
	m.Header.Set(headerTarget, m.Subject)
	setTime(m.Header, headerUntil, until.Add(time.Millisecond-1)) // rounded up: no sooner
	m.Subject = holdSubject
}

// startMover begins to move what has waited long enough. nats.go calls move for
// one message at a time, and resumes when the connection does.
func (b *Broker) startMover(ctx context.Context) error {
	c, err := b.js.CreateOrUpdateConsumer(ctx, holdStream, jetstream.ConsumerConfig{
		Durable:       "mover",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       defaultAckWait,
		MaxAckPending: -1, // what waits is what has been delivered and not acknowledged
	})
	if err != nil {
		return err
	}
	b.mover, err = c.Consume(b.move, jetstream.PullMaxMessages(64),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { b.note(fmt.Errorf("move what waits: %w", err)) }))
	return err
}

// moveAgain is how long a message stays that could not be moved, such as a dead
// letter to a queue that is full.
const moveAgain = time.Second

// move returns what is early to the stream for as long as it has to wait: NATS
// keeps it there, on disk, and delivers it again then.
func (b *Broker) move(m jetstream.Msg) {
	if wait := time.Until(getTime(m.Headers(), headerUntil)); wait > 0 {
		b.report("keep a waiting message", m.NakWithDelay(wait))
		return
	}
	ctx, cancel := context.WithTimeout(b.life, ackTimeout)
	defer cancel()
	out := copyOf(m.Headers(), m.Data(), headerTarget, headerUntil)
	out.Subject = m.Headers().Get(headerTarget)
	id := ""
	if meta, err := m.Metadata(); err == nil { // by the place that it waits in, or two Brokers could move it
		id = fmt.Sprintf("hold-%d", meta.Sequence.Stream)
	}
	_, err := b.js.PublishMsg(ctx, out, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		if _, lookErr := b.js.StreamNameBySubject(ctx, out.Subject); errors.Is(lookErr, jetstream.ErrStreamNotFound) {
			slog.Warn("NATS: the queue is gone that a waiting message was for; it is dropped", "subject", out.Subject)
			err = nil
		}
	}
	if err != nil {
		b.report("move a message that has waited", err)
		b.report("keep a waiting message", m.NakWithDelay(moveAgain))
		return
	}
	b.report("take away a message that was moved", m.Ack())
}

// report notes trouble that no caller hears of. What was lost with the
// connection comes again by itself.
func (b *Broker) report(doing string, err error) {
	if err != nil && b.connected() {
		b.note(fmt.Errorf("%s: %w", doing, err))
	}
}
