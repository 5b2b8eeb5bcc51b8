package memory

import (
	"fmt"
	"maps"
	"slices"

	"github.com/warrenmq/warren/pkg/messaging"
)

// delivery is a copy of e for a receiver, who may change it.
func (e *entry) delivery(from messaging.Address) *messaging.Delivery {
	d := &messaging.Delivery{Message: e.msg, From: from, Attempt: int(e.attempt), Redelivered: e.redelivered}
	d.Delay = 0 // it is over, and no broker says what it was
	d.Headers = maps.Clone(e.msg.Headers)
	d.Body = slices.Clone(e.msg.Body)
	return d
}

// Delivery implements [messaging.Job], for an entry that a consumer holds.
func (e *entry) Delivery() *messaging.Delivery { return e.out }

// Settle implements [messaging.Job]. What is no longer held is ignored, as an
// acknowledgement on a lost connection is.
func (e *entry) Settle(dec messaging.Decision) {
	if dec.Action != messaging.Acknowledge {
		_ = hold{q: e.c.q, e: e, src: &e.c.sub.src}.settle(dec)
		return
	}
	if c := e.c; c.desk.ack(e) {
		c.flush()
	}
}

// hold is the right to settle a message of q, which was received from src.
type hold struct {
	q   *queue
	e   *entry
	src *messaging.Source
}

var errNotHeld = fmt.Errorf("the connection was lost or the queue deleted meanwhile: %w", messaging.ErrSettled)

// settle carries out dec. The error says why that was not possible.
func (h hold) settle(dec messaging.Decision) error {
	if dec.Action == messaging.DeadLetter || dec.Action == messaging.Move {
		return h.transfer(dec)
	}
	q, e, c := h.q, h.e, h.e.c
	q.mu.Lock()
	defer q.unlock()
	if !q.take(e) {
		return errNotHeld
	}
	switch dec.Action {
	case messaging.Acknowledge:
		q.discard(e)
	case messaging.Release:
		// Workers gives no error for what no handler has seen.
		e.redelivered = e.redelivered || dec.Err != nil
		q.putBack(e)
	case messaging.Again:
		e.redelivered = true
		e.attempt++
		if dec.Wait > 0 {
			q.wait(e, q.b.now()+dec.Wait)
		} else {
			q.enqueue(e)
		}
	}
	q.settled(c)
	return nil
}
