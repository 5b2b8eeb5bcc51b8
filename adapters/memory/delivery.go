package memory

import (
	"fmt"
	"maps"
	"slices"

	"github.com/warrenmq/warren/pkg/messaging"
)

// delivery is a message on its way through a handler: a copy of its own, and
// the right to settle it. It implements [messaging.Job].
type delivery struct {
	hold
	src *messaging.Source
	out messaging.Delivery
}

func newDelivery(h handout, src *messaging.Source) *delivery {
	d := &delivery{hold: h.hold, src: src}
	d.out.Message = h.e.msg
	d.out.Delay = 0 // it is over, and no broker says what it was
	d.out.Headers = maps.Clone(h.e.msg.Headers)
	d.out.Body = slices.Clone(h.e.msg.Body)
	d.out.From = src.Address
	d.out.Attempt = h.attempt
	d.out.Redelivered = h.redelivered
	return d
}

// Delivery implements [messaging.Job].
func (d *delivery) Delivery() *messaging.Delivery { return &d.out }

// Settle implements [messaging.Job]. What is no longer held is ignored, as an
// acknowledgement on a lost connection is.
func (d *delivery) Settle(dec messaging.Decision) { _ = d.settle(dec) }

var errNotHeld = fmt.Errorf("the connection was lost or the queue deleted meanwhile: %w", messaging.ErrSettled)

// settle carries out dec. The error says why that was not possible; for an
// acknowledgement, only a Get is told.
func (d *delivery) settle(dec messaging.Decision) error {
	switch {
	case dec.Action == messaging.DeadLetter || dec.Action == messaging.Move:
		return d.transfer(dec)
	case dec.Action == messaging.Acknowledge && d.c != nil:
		if d.c.desk.ack(d.hold) {
			d.c.flush()
		}
		return nil
	}
	q := d.q
	q.mu.Lock()
	defer q.unlock()
	if !q.take(d.hold) {
		return errNotHeld
	}
	switch dec.Action {
	case messaging.Acknowledge:
		q.discard(d.e)
	case messaging.Release:
		// Workers gives no error for what no handler has seen.
		d.e.redelivered = d.e.redelivered || dec.Err != nil
		q.putBack(d.e)
	case messaging.Again:
		d.e.redelivered = true
		d.e.attempt++
		if dec.Wait > 0 {
			q.wait(d.e, q.b.now()+dec.Wait)
		} else {
			q.enqueue(d.e)
		}
	}
	q.settled(d.c)
	return nil
}
