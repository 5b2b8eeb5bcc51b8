package memory

import (
	"maps"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// deadLetterPause is how long a message waits whose dead-letter queue had no
// room for it, until it is handled again.
const deadLetterPause = time.Second

// transfer stores a copy in another queue before the message leaves its own:
// a dead letter, or one that is redriven. Two queues are never locked at once,
// because their dead letters may go to each other.
func (h hold) transfer(dec messaging.Decision) error {
	q, c := h.q, h.e.c
	if !q.beginTransfer(h.e) {
		return errNotHeld
	}
	err := h.storeElsewhere(dec)

	q.mu.Lock()
	defer q.unlock()
	if q.deleted {
		return err
	}
	q.moving--
	switch {
	case err == nil:
	case dec.Action == messaging.Move:
		h.e.redelivered = true
		q.putBack(h.e)
	default:
		h.e.redelivered = true
		q.wait(h.e, q.b.now()+deadLetterPause)
	}
	q.settled(c)
	return err
}

// beginTransfer takes the message, which stays unsettled. It takes q.mu itself.
func (q *queue) beginTransfer(e *entry) bool {
	q.mu.Lock()
	defer q.unlock()
	if !q.take(e) {
		return false
	}
	q.moving++
	return true
}

func (h hold) storeElsewhere(dec messaging.Decision) error {
	b := h.q.b
	if dec.Action == messaging.Move {
		return b.store(dec.To, b.redriven(h.e))
	}
	dead := h.src.Retry.DeadLetter
	b.ensure(dead)
	err := b.store(dead, b.deadLetter(h.e, h.src.Queue(), dec))
	if err != nil {
		b.log().Warn("dead-letter queue refuses; the message is handled again", "id", h.e.msg.ID,
			"from", h.q.address, "to", dead, "after", deadLetterPause, "error", err)
	}
	return err
}

// deadLetter is e as a new message of a dead-letter queue.
func (b *Broker) deadLetter(e *entry, from messaging.Address, dec messaging.Decision) *entry {
	dead := b.newEntry(&e.msg)
	dead.dead = true
	dead.msg.TTL, dead.msg.Delay = 0, 0
	if dead.msg.Headers == nil {
		dead.msg.Headers = map[string]string{}
	}
	maps.Copy(dead.msg.Headers, messaging.DeadLetterHeaders(from, int(e.attempt), dec))
	return dead
}

// redriven is a dead letter as a new message.
func (b *Broker) redriven(e *entry) *entry {
	fresh := b.newEntry(&e.msg)
	fresh.msg.Delay = 0 // it is over
	maps.DeleteFunc(fresh.msg.Headers, func(k, _ string) bool { return messaging.IsDeadLetterHeader(k) })
	if len(fresh.msg.Headers) == 0 {
		fresh.msg.Headers = nil
	}
	return fresh
}

// ensure declares a queue where it is missing.
func (b *Broker) ensure(a messaging.Address) {
	b.mu.RLock()
	there := b.queues[a.Name()] != nil
	b.mu.RUnlock()
	if there {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.declare(messaging.QueueSpec{Name: a.Name()})
	}
}

// store adds e to a queue.
func (b *Broker) store(a messaging.Address, e *entry) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	q := b.queues[a.Name()]
	if q == nil || !a.IsQueue() {
		return messaging.ErrUnroutable
	}
	return q.store(e)
}
