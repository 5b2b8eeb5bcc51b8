package memory

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/pkg/messaging"
)

// desk is what lies before the workers of a consumer: the messages that they
// may handle next, and the acknowledgements of which the queue does not know
// yet. Its mutex is its own, so that the queue's is needed once for many
// messages: when the desk is empty.
//
// The queue gets to know the acknowledgements then, when there are many, and
// before anybody looks at what is held: so nobody can tell that they are late.
type desk struct {
	mu    sync.Mutex // comes after the queue's mutex
	work  []*entry   // those before next are taken
	next  int
	acks  []*entry
	limit int // of acks
}

// newDesk collects no acknowledgements where room in the queue matters at once.
func newDesk(prefetch int, spec messaging.QueueSpec) desk {
	if spec.MaxLength > 0 {
		return desk{limit: 1}
	}
	return desk{limit: max(1, prefetch/2)}
}

// take returns the next message for a handler, nil where there is none.
func (d *desk) take() *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == len(d.work) {
		return nil
	}
	d.next++
	return d.work[d.next-1]
}

// ack says whether it is time that the queue gets to know.
func (d *desk) ack(e *entry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acks = append(d.acks, e)
	return len(d.acks) >= d.limit
}

// is says whether there is work, and whether something is done.
func (d *desk) is() (work, done bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.next < len(d.work), d.next > 0 || len(d.acks) > 0
}

// tray is what was dealt to a consumer and is not on its desk yet. It belongs
// to the queue's mutex, but whether there is something anyone may ask.
type tray struct {
	dealt []*entry
	some  atomic.Bool
}

func (t *tray) add(e *entry) {
	t.dealt = append(t.dealt, e)
	if !t.some.Load() {
		t.some.Store(true)
	}
}

// clear takes everything back that c has not handed to a handler, oldest first.
// It needs q.mu.
func (c *consumer) clear() []*entry {
	c.desk.mu.Lock()
	defer c.desk.mu.Unlock()
	all := slices.Concat(c.desk.work[c.desk.next:], c.tray.dealt)
	c.desk.work, c.desk.next = nil, 0
	c.tray.dealt = nil
	c.tray.some.Store(false)
	return all
}

// refill brings c's desk what was dealt to c, when it is empty, after the queue
// got to know c's acknowledgements. It takes the queue's mutex itself.
func (c *consumer) refill() {
	if work, done := c.desk.is(); work || !done && !c.tray.some.Load() {
		return
	}
	c.q.mu.Lock()
	defer c.q.unlock()
	c.q.learn(c) // there may be more for it
	c.desk.mu.Lock()
	defer c.desk.mu.Unlock()
	if c.desk.next < len(c.desk.work) {
		return // another worker was faster
	}
	clear(c.desk.work)
	c.desk.work, c.tray.dealt = c.tray.dealt, c.desk.work[:0]
	c.desk.next = 0
	c.tray.some.Store(false) // after it is on the desk, see idle
}

// flush lets the queue know c's acknowledgements. It takes the queue's mutex
// itself.
func (c *consumer) flush() {
	if _, done := c.desk.is(); !done {
		return
	}
	c.q.mu.Lock()
	defer c.q.unlock()
	c.q.learn(c)
}

// idle says whether there is nothing for c's workers. What is on its way from
// the tray to the desk is seen in one of them, because it asks in that order.
func (c *consumer) idle() bool {
	if c.tray.some.Load() {
		return false
	}
	work, _ := c.desk.is()
	return !work
}

// learn takes note of c's acknowledgements, and deals it its next messages. It
// needs q.mu.
func (q *queue) learn(c *consumer) {
	if q.collect(c) {
		q.offer(c)
		q.dispatch()
	}
}

// learnAll makes it true what q knows of its consumers. It needs q.mu.
func (q *queue) learnAll() {
	for c := range q.members {
		q.learn(c)
	}
}

// collect takes note of c's acknowledgements. It says whether there are any. It
// needs q.mu.
func (q *queue) collect(c *consumer) bool {
	d := &c.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	var done spares
	for _, e := range d.acks {
		if q.take(e) {
			c.credit++
			done.add(e)
		}
	}
	q.b.stock.addAll(&done)
	some := len(d.acks) > 0
	clear(d.acks)
	d.acks = d.acks[:0]
	return some
}
