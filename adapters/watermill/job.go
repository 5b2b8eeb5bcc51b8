package watermill

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/pkg/messaging"
)

// job is a received message on its way through a handler.
type job struct {
	s        *subscription
	in       *intake
	room     chan struct{} // is given up by receiving from it
	raw      *message.Message
	received received
	delivery messaging.Delivery
	attempt  int // of delivery, which the handler may change
}

// newJob holds m: the Pub/Sub waits for what becomes of it. room is what it
// takes up.
func newJob(in *intake, m *message.Message, room chan struct{}) *job {
	in.hold()
	below, ours := DeliveryFromContext(m.Context()) // from a Subscriber of this package, which knows more
	if ours && m.Metadata[MetadataTime] == "" {
		m.Metadata.Set(MetadataTime, msOf(below.Time))
	}
	j := &job{s: in.s, in: in, room: room, raw: m, received: decode(m)}
	j.attempt = j.received.failures + 1
	j.delivery = messaging.Delivery{
		Message:     j.received.Message,
		From:        in.s.src.Address,
		Attempt:     j.attempt,
		Redelivered: below.Redelivered || j.attempt > 1,
	}
	return j
}

// Delivery implements [messaging.Job].
func (j *job) Delivery() *messaging.Delivery { return &j.delivery }

// Settle implements [messaging.Job].
func (j *job) Settle(dec messaging.Decision) {
	switch dec.Action {
	case messaging.Acknowledge:
		j.end(true)
	case messaging.Release:
		j.end(false)
	default:
		j.s.moves.Go(func() { j.move(dec) })
	}
}

// end gives the message back to the Pub/Sub. The Pub/Sub is done with it when
// it cancels the message's context, which is Watermill's convention.
func (j *job) end(ack bool) {
	if ack {
		j.raw.Ack()
	} else {
		j.raw.Nack()
	}
	<-j.room
	if ctx := j.raw.Context(); ctx.Done() != nil {
		context.AfterFunc(ctx, j.in.release)
	} else {
		j.in.release()
	}
}

// move takes the message to where it goes after a failure: a copy is published
// first, then the original is acknowledged. Where that cannot be, the original
// goes back.
func (j *job) move(dec messaging.Decision) {
	s := j.s
	if j.mustHold(dec) && !pause(s.ctx, dec.Wait) {
		j.end(false) // the subscription ends: let somebody else have it
		return
	}
	ctx, cancel := s.b.bound(context.Background())
	defer cancel()
	if err := j.sendCopy(ctx, dec); err != nil {
		s.b.log.Warn("cannot move a message; it is handled again", "id", j.received.ID, "from", s.src.Address,
			"action", dec.Action.String(), "error", err)
		s.b.note(fmt.Errorf("%s of message %s from %s: %w", dec.Action, j.received.ID, s.src.Address, err))
		pause(s.ctx, moveAgain) // or it would go round as fast as it can
		j.end(false)
		return
	}
	j.end(true)
}

// moveAgain is how long a message that could not be moved is held before it
// goes back.
const moveAgain = time.Second

// mustHold says whether the message has to be held until its next attempt.
func (j *job) mustHold(dec messaging.Decision) bool {
	return dec.Action == messaging.Again && dec.Wait > 0 && !j.s.b.delays
}

func (j *job) sendCopy(ctx context.Context, dec messaging.Decision) error {
	b := j.s.b
	switch dec.Action {
	case messaging.DeadLetter:
		return b.send(ctx, j.s.dead, deadCopy(j.raw, j.s.src.Queue(), j.attempt, dec))
	case messaging.Move:
		topic, err := b.topic(dec.To)
		if err != nil {
			return err
		}
		return b.send(ctx, topic, newCopy(j.raw))
	default:
		m := retryCopy(j.raw, j.attempt)
		if b.delays {
			setDelay(m, dec.Wait)
		}
		return b.send(ctx, j.s.topic, m)
	}
}
