package memory

import (
	"sync"

	"github.com/warrenmq/warren/pkg/messaging"
)

// maxAcks is how many acknowledgements a consumer collects at most until its
// queue gets to know them: enough to make the queue's lock rare, few enough to
// keep the prefetch filled.
const maxAcks = 16

// acks are what a consumer's handlers have acknowledged and its queue does not
// know yet. The queue gets them when there are enough, before a worker waits
// for a message, and before anybody looks at what is held: so nobody can tell
// that they are late.
type acks struct {
	mu    sync.Mutex // comes after the queue's mutex
	holds []hold
	limit int
}

// newAcks collects nothing where room in the queue matters at once.
func newAcks(prefetch int, spec messaging.QueueSpec) *acks {
	if spec.MaxLength > 0 {
		return &acks{limit: 1}
	}
	return &acks{limit: max(1, min(prefetch/4, maxAcks))}
}

// add says whether it is time for flush.
func (a *acks) add(h hold) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.holds = append(a.holds, h)
	return len(a.holds) >= a.limit
}

func (a *acks) empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.holds) == 0
}

// flush lets the queue know c's acknowledgements, and takes its next messages.
// It takes the queue's mutex itself.
func (c *consumer) flush() {
	if c.acks.empty() {
		return
	}
	c.q.mu.Lock()
	defer c.q.unlock()
	c.q.collect(c)
	c.q.offer(c)
	c.q.dispatch()
}

// collect takes note of c's acknowledgements. It needs q.mu.
func (q *queue) collect(c *consumer) {
	c.acks.mu.Lock()
	defer c.acks.mu.Unlock()
	for _, h := range c.acks.holds {
		if q.take(h) {
			c.credit++
			h.e.free()
		}
	}
	clear(c.acks.holds)
	c.acks.holds = c.acks.holds[:0]
}

// collectAll makes it true what q knows of its consumers. It needs q.mu.
func (q *queue) collectAll() {
	for c := range q.members {
		q.collect(c)
	}
}
