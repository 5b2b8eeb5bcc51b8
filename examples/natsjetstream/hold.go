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

// holdPlace is where the Brokers take from what waits. What has been delivered
// early is handed back for as long as it has to wait, and counts as pending.
var holdPlace = place{stream: holdStream, consumer: "mover", subject: holdSubject}

// What a Broker takes at once, and how long that stays with one that has died.
// This is short because whatever waits may be with any Broker, and no lease
// needs renewing: if two move the same message, the stream drops the second.
const (
	moverBatch   = 16
	moverAckWait = time.Second
)

// moveOn moves what has waited long enough, until the Broker is closed.
func (b *Broker) moveOn() {
	for {
		conn, err := b.connection(b.life)
		if err != nil {
			return
		}
		b.report("move what waits", b.moveDuring(conn))
		pause(b.life, again)
	}
}

// moveDuring moves on until the connection has ended, or the consumer has.
func (b *Broker) moveDuring(conn context.Context) error {
	_, err := b.js.CreateOrUpdateConsumer(conn, holdPlace.stream, jetstream.ConsumerConfig{
		Durable:       holdPlace.consumer,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       moverAckWait,
		MaxAckPending: -1,
	})
	if err != nil {
		return err
	}
	p, err := b.newPull(holdPlace)
	if err != nil {
		return err
	}
	defer p.end()
	for {
		if p.asked == 0 {
			if err := p.ask(request{Batch: moverBatch, Expires: pullExpiry, Heartbeat: pullHeartbeat}); err != nil {
				return err
			}
		}
		switch m, err := p.next(conn); {
		case errors.Is(err, errOver):
			p.asked = 0
		case err != nil:
			return err
		default:
			b.move(m)
		}
	}
}

// moveAgain is how long a message stays that could not be moved, such as a dead
// letter to a queue that is full.
const moveAgain = time.Second

// move returns what is early to the stream for as long as it has to wait: NATS
// keeps it there, on disk, and delivers it again then.
func (b *Broker) move(m *nats.Msg) {
	if wait := time.Until(getTime(m.Header, headerUntil)); wait > 0 {
		b.report("keep a waiting message", m.NakWithDelay(wait))
		return
	}
	ctx, cancel := context.WithTimeout(b.life, ackTimeout)
	defer cancel()
	out := copyOf(m.Header, m.Data, headerTarget, headerUntil)
	out.Subject = m.Header.Get(headerTarget)
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
