package memory

import (
	"fmt"
	"sync"

	"github.com/warrenmq/warren/pkg/messaging"
)

// queue is one queue. What is ready is in fifo, apart from what came back: that
// is in returned, in its original order, and comes before all of fifo, because
// it was taken from the head.
type queue struct {
	b       *Broker
	address messaging.Address

	mu      sync.Mutex
	spec    messaging.QueueSpec
	deleted bool
	seqs    uint64 // places given so far

	fifo     list
	returned entryHeap // ready, before fifo
	held     bag       // handed out and not settled
	moving   int       // being dead-lettered: not settled, but out of held
	expiring entryHeap // those ready that have a time to expire
	waiting  entryHeap // not ready before their time

	alarm alarm // for expiring and waiting

	consumers []*consumer            // attached, the longest first
	members   map[*consumer]struct{} // attached, or between two attachments, or draining
	turns     turns                  // attached and able to take a message
	woken     *subscription          // has a message, and is told when the mutex is free

	bindings []binding // to topics; belongs to b.mu
}

func newQueue(b *Broker, spec messaging.QueueSpec) *queue {
	q := &queue{
		b:        b,
		address:  messaging.Queue(spec.Name),
		spec:     spec,
		returned: bySeq(),
		expiring: byTime(),
		waiting:  byTime(),
		members:  map[*consumer]struct{}{},
	}
	q.alarm.ring = q.onTimer
	return q
}

// store takes in a new message. It takes q.mu itself.
func (q *queue) store(e *entry) error {
	q.mu.Lock()
	defer q.unlock()
	return q.publish(e)
}

// admit adds e at the tail, whether or not there is room. It takes q.mu itself.
func (q *queue) admit(e *entry) {
	q.mu.Lock()
	defer q.unlock()
	q.enqueue(e)
}

// All methods below need q.mu.

func (q *queue) ready() int     { return q.fifo.len + q.returned.Len() }
func (q *queue) unsettled() int { return len(q.held) + q.moving }

// refuses says whether there is no room for a new message.
func (q *queue) refuses() bool {
	return q.spec.MaxLength > 0 && q.ready() >= q.spec.MaxLength && q.spec.Overflow == messaging.RejectPublish
}

// backlog is how many messages may be ready until whoever publishes lets the
// queue's consumers run. Until then they can catch up with no more memory than
// there was; what a queue grows by is allocated, and is most of the cost of a
// message. It is no limit: nobody waits.
const backlog = 256

// behind says whether q's consumers do not keep up with what is published.
func (q *queue) behind() bool { return q.fifo.len > backlog && len(q.consumers) > 0 }

// publish takes in a new message.
func (q *queue) publish(e *entry) error {
	delay := e.msg.Delay
	if delay == 0 && q.refuses() {
		return fmt.Errorf("%w: the queue is full (MaxLength %d)", messaging.ErrRejected, q.spec.MaxLength)
	}
	if e.msg.TTL > 0 {
		e.deadline = q.b.now() + e.msg.TTL
	}
	if delay > 0 {
		q.wait(e, q.b.now()+delay)
	} else {
		q.enqueue(e)
	}
	return nil
}

// enqueue adds e at the tail.
func (q *queue) enqueue(e *entry) {
	q.seqs++
	e.seq = q.seqs
	e.at = e.deadline
	if q.spec.TTL > 0 {
		if end := q.b.now() + q.spec.TTL; e.at == 0 || end < e.at {
			e.at = end
		}
	}
	q.fifo.pushBack(e)
	q.expire(e)
	q.dispatch()
}

// putBack returns e, which was handed out, to its original place.
func (q *queue) putBack(e *entry) {
	q.returned.add(e)
	q.expire(e)
}

// first returns the entry at the head, nil where none is ready. What has
// expired is dropped before.
func (q *queue) first() *entry {
	for {
		e := q.returned.first()
		if e == nil {
			e = q.fifo.head
		}
		if e == nil || e.at == 0 || e.at > q.b.now() {
			return e
		}
		q.drop(e)
	}
}

// drop takes a ready entry out of the queue.
func (q *queue) drop(e *entry) {
	if e.ordered > 0 {
		q.returned.remove(e)
	} else {
		q.fifo.remove(e)
	}
	if e.timed > 0 {
		q.expiring.remove(e)
	}
}

// trim drops from the head what is over the queue's length. It comes after
// dispatching, because what a consumer takes is not in the queue.
func (q *queue) trim() {
	for q.spec.Overflow == messaging.DropOldest && q.spec.MaxLength > 0 && q.ready() > q.spec.MaxLength {
		e := q.first()
		if e == nil {
			return
		}
		q.drop(e)
	}
}

// purge drops all that is ready, in O(1), and returns how much that was.
func (q *queue) purge() int {
	n := q.ready()
	q.fifo = list{}
	q.returned.clear()
	q.expiring.clear()
	return n
}

// delete drops everything and everyone. Who still holds a message of q finds
// that it is deleted. It takes q.mu itself.
func (q *queue) delete() {
	q.mu.Lock()
	defer q.unlock()
	q.deleted = true
	q.purge()
	q.held = nil
	q.waiting.clear()
	q.alarm.stop()
	q.loseConsumers(fmt.Errorf("%s was deleted", q.address))
}
