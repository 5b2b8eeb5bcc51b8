package memory

import (
	"maps"
	"slices"
	"time"

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
	d.out.Headers = maps.Clone(h.e.msg.Headers)
	d.out.Body = slices.Clone(h.e.msg.Body)
	d.out.From = h.q.address
	d.out.Attempt = h.attempt
	d.out.Redelivered = h.redelivered
	return d
}

// Delivery implements [messaging.Job].
func (d *delivery) Delivery() *messaging.Delivery { return &d.out }

// Settle implements [messaging.Job]. What is no longer held is ignored, as an
// acknowledgement on a lost connection is.
func (d *delivery) Settle(dec messaging.Decision) { d.settle(dec) }

// settle carries out dec. It says whether the message was still held; for an
// acknowledgement, only a Get is told.
func (d *delivery) settle(dec messaging.Decision) bool {
	switch {
	case dec.Action == messaging.DeadLetter:
		return d.deadLetter(dec)
	case dec.Action == messaging.Acknowledge && d.c != nil:
		if d.c.acks.add(d.hold) {
			d.c.flush()
		}
		return true
	}
	q := d.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.take(d.hold) {
		return false
	}
	switch dec.Action {
	case messaging.Acknowledge:
		d.e.free()
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
	return true
}

// deadLetterPause is how long a message waits whose dead-letter queue had no
// room for it, until it is handled again.
const deadLetterPause = time.Second

// deadLetter stores a copy in the dead-letter queue before the message leaves
// its own. Two queues are never locked at once, because their dead letters may
// go to each other.
func (d *delivery) deadLetter(dec messaging.Decision) bool {
	q := d.q
	q.mu.Lock()
	held := q.take(d.hold)
	if held {
		q.moving++
	}
	attempt := int(d.e.attempt)
	q.mu.Unlock()
	if !held {
		return false
	}
	dead := d.src.Retry.DeadLetter
	stored := q.b.store(dead.Name(), deadEntry(d.e, q.address, attempt, dec))
	if !stored {
		q.b.log().Warn("the dead-letter queue is full; the message is handled again", "id", d.e.msg.ID,
			"from", q.address, "to", dead, "after", deadLetterPause)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deleted {
		return true
	}
	q.moving--
	if !stored {
		d.e.redelivered = true
		q.wait(d.e, q.b.now()+deadLetterPause)
	}
	q.settled(d.c)
	return true
}

// deadEntry is e as a new message of a dead-letter queue.
func deadEntry(e *entry, from messaging.Address, attempt int, dec messaging.Decision) *entry {
	dead := newEntry(&e.msg)
	dead.msg.TTL, dead.msg.Delay = 0, 0
	if dead.msg.Headers == nil {
		dead.msg.Headers = map[string]string{}
	}
	maps.Copy(dead.msg.Headers, messaging.DeadLetterHeaders(from, attempt, dec))
	return dead
}

// store adds e to a queue, which it creates where it is missing. It says no
// where the queue is full and refuses.
func (b *Broker) store(name string, e *entry) bool {
	b.mu.RLock()
	for b.queues[name] == nil {
		b.mu.RUnlock()
		b.mu.Lock()
		b.declare(messaging.QueueSpec{Name: name})
		b.mu.Unlock()
		b.mu.RLock()
	}
	defer b.mu.RUnlock()
	q := b.queues[name]
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.publish(e) == nil
}
