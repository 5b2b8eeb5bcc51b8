package memory

import (
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Disconnect is the connection being lost. Whoever publishes waits, as do the
// other calls; what consumers hold goes back to its queue, marked Redelivered.
// Running handlers go on, but what they decide has no effect. Queues that are
// AutoDelete are deleted if they had consumers. It lasts until
// [Broker.Reconnect].
func (b *Broker) Disconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down || b.closing {
		return
	}
	b.lastErr = errors.New("the connection was lost")
	b.losses++
	b.setDown(true)
	for _, q := range b.queues {
		if q.lose(b.lastErr) {
			b.remove(q)
		}
	}
}

// Reconnect ends what [Broker.Disconnect] began: publishers go on, and
// subscriptions resume.
func (b *Broker) Reconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down || b.closing {
		return
	}
	b.setDown(false)
	for s := range b.subs {
		s.interrupt(nil)
	}
}

func (b *Broker) setDown(down bool) {
	b.down = down
	b.since = time.Now()
	b.notify()
}

// lose puts back what is held, and forgets the consumers. It says whether q is
// to be deleted for it. It takes q.mu itself.
func (q *queue) lose(why error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	abandoned := q.spec.AutoDelete && len(q.members) > 0
	q.loseConsumers(why)
	for e := q.held.head; e != nil; e = q.held.head {
		q.held.remove(e)
		e.tag = 0
		e.redelivered, e.lost = true, true
		q.putBack(e)
	}
	q.trim()
	return abandoned
}

// Block makes the broker accept no messages, as RabbitMQ does when it is short
// of memory or disk. Publish waits; consumers go on. It lasts until
// [Broker.Unblock].
func (b *Broker) Block(reason string) { b.setBlocked(true, reason) }

// Unblock ends what [Broker.Block] began.
func (b *Broker) Unblock() { b.setBlocked(false, "") }

func (b *Broker) setBlocked(blocked bool, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blocked, b.reason = blocked, reason
	b.notify()
}

// CancelConsumers is the broker cancelling all consumers of a queue, as
// RabbitMQ does when the queue's node goes away. What they have not begun to
// handle goes back unmarked, what they handle is settled as ever, and the
// subscriptions resume by themselves.
func (b *Broker) CancelConsumers(a messaging.Address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[a.Name()]
	if q == nil || !a.IsQueue() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.consumers) == 0 {
		return
	}
	b.lastErr = fmt.Errorf("the broker cancelled the consumers of %s", a)
	for len(q.consumers) > 0 {
		c := q.consumers[0]
		q.detach(c)
		c.sub.interrupt(b.lastErr)
	}
	q.dispatch() // to nobody, but what is over the queue's length goes
}

// Inject puts m into a queue as it is, as a producer would that does not use
// this library: nothing is filled in, checked or waited for. ErrUnroutable
// where there is no such queue, ErrRejected where it is full.
func (b *Broker) Inject(a messaging.Address, m messaging.Message) error {
	if err := b.store(a, &entry{msg: m.Clone(), attempt: 1}); err != nil {
		return fmt.Errorf("inject into %s: %w", a, err)
	}
	return nil
}
