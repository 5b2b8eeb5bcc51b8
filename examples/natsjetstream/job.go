package natsjetstream

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// job is a message that this Broker holds, on its way through a handler.
type job struct {
	b        *Broker
	s        *subscription // nil for a Get
	src      messaging.Source
	place    place // where it goes for another attempt
	msg      *nats.Msg
	expires  time.Time
	delivery messaging.Delivery
	attempt  int         // of delivery, which the handler may change
	settled  atomic.Bool // by a verdict, or because the connection was lost
}

// newJob takes a message for s, or for a Get, where s is nil. From now on its
// lease is renewed, until it is settled.
func (b *Broker) newJob(s *subscription, src messaging.Source, p place, m *nats.Msg) *job {
	r := decode(m.Header, m.Data)
	deliveries := uint64(1)
	if meta, err := m.Metadata(); err == nil {
		deliveries = meta.NumDelivered
	}
	j := &job{b: b, s: s, src: src, place: p, msg: m, expires: r.expires, attempt: r.failures + 1}
	j.delivery = messaging.Delivery{
		Message:     r.Message,
		From:        src.Address,
		Attempt:     j.attempt, // NumDelivered counts what was released, and crashes
		Redelivered: deliveries > 1 || j.attempt > 1,
	}
	b.mu.Lock()
	b.held[j] = struct{}{}
	b.mu.Unlock()
	return j
}

// Delivery implements [messaging.Job].
func (j *job) Delivery() *messaging.Delivery { return &j.delivery }

func (j *job) expired() bool { return !j.expires.IsZero() && !time.Now().Before(j.expires) }

// Settle implements [messaging.Job]: what needs no answer is done at once.
func (j *job) Settle(dec messaging.Decision) {
	if !j.settled.CompareAndSwap(false, true) {
		return // the connection was lost, and with it the right to settle
	}
	switch dec.Action {
	case messaging.Acknowledge:
		j.end(j.msg.Ack())
	case messaging.Release:
		j.end(j.msg.Nak())
	default:
		j.s.moves.Go(func() { j.move(dec) }) // Close may cut it
	}
}

// move is forward behind the back of the worker, who goes on.
func (j *job) move(dec messaging.Decision) {
	err := j.forward(j.b.life, dec)
	if err == nil {
		j.end(j.msg.Ack())
		return
	}
	err = fmt.Errorf("%s of message %s from %s: %w", dec.Action, j.delivery.ID, j.src.Address, err)
	slog.Warn("NATS: cannot move a message; it is handled again", "error", err)
	j.b.note(err)
	j.end(j.msg.NakWithDelay(moveAgain)) // or it would go round as fast as it can
}

// forward stores the message where the decision sends it. Only when that is
// confirmed may the original be acknowledged (rule C7).
func (j *job) forward(ctx context.Context, dec messaging.Decision) error {
	headers, body := j.msg.Header, j.msg.Data
	var out *nats.Msg
	to := dec.To
	switch dec.Action {
	case messaging.Again:
		out = retryCopy(headers, body, j.attempt)
		out.Subject = j.place.subject
		if dec.Wait > 0 {
			hold(out, time.Now().Add(dec.Wait))
		}
		to = messaging.Address{} // there already
	case messaging.DeadLetter:
		if _, err := j.b.ensure(ctx, j.src.Retry.DeadLetter.Name()); err != nil {
			return err
		}
		out = deadCopy(headers, body, messaging.DeadLetterHeaders(j.src.Queue(), j.attempt, dec))
		to = j.src.Retry.DeadLetter
		out.Subject = queuePlace(to.Name()).subject
	case messaging.Move:
		out = newCopy(headers, body)
		out.Subject = queuePlace(to.Name()).subject
	default:
		return fmt.Errorf("the decision to %s is unknown to this adapter", dec.Action)
	}
	return j.b.send1(ctx, to, out)
}

// end is the end of the message's time here. err is only that the connection is
// gone: the message then comes again.
func (j *job) end(err error) {
	j.b.report("settle a message", err)
	j.b.mu.Lock()
	delete(j.b.held, j)
	j.b.mu.Unlock()
	if j.s != nil {
		<-j.s.room
	}
}

// giveUpAll returns everything that is held and not settled.
func (b *Broker) giveUpAll() {
	for _, j := range b.allHeld() {
		j.Settle(messaging.Decision{Action: messaging.Release})
	}
}

func (b *Broker) allHeld() []*job {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*job, 0, len(b.held))
	for j := range b.held {
		all = append(all, j)
	}
	return all
}

// renewLeases tells JetStream three times in ack_wait that what is held is still
// being worked on. A handler may take as long as it likes.
func (b *Broker) renewLeases() {
	for pause(b.life, b.ackWait/3) {
		for _, j := range b.allHeld() {
			b.report("renew a lease", j.msg.InProgress())
		}
	}
}
