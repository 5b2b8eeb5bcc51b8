package memory

import (
	"maps"
	"time"
	"unsafe"

	"github.com/warrenmq/warren/pkg/messaging"
)

// entry is a message in a queue. msg never changes; the rest belongs to the
// queue's mutex. It is in exactly one of the queue's places: ready (fifo or
// returned), held, or waiting. While it is held, only its holder may use it,
// and nothing in it changes but where it is in held.
type entry struct {
	msg         messaging.Message
	deadline    time.Duration       // when its own TTL ends, on the broker's clock; 0 is never
	at          time.Duration       // ready: when it expires, 0 is never; waiting: when it is due
	seq         uint64              // its place in the queue
	prev, next  *entry              // neighbours in fifo
	c           *consumer           // the holder; nil for a Get
	out         *messaging.Delivery // what c's handler got; belongs to the handler's worker
	held        int32               // index in held, from 1; 0 is not in it
	ordered     int32               // index in returned, from 1; 0 is not in it
	timed       int32               // index in expiring or waiting, from 1; 0 is not in it
	attempt     int32
	redelivered bool
	dead        bool // is a dead letter
}

// newEntry copies what was published.
func (b *Broker) newEntry(m *messaging.Message) *entry {
	e := b.stock.get(1)
	if e == nil {
		e = new(entry)
	}
	e.fill(m)
	return e
}

// fill makes e, which may have been another message before, a copy of m. Times
// have milliseconds, as on the wire.
func (e *entry) fill(m *messaging.Message) {
	body := e.msg.Body[:0]
	if n := len(m.Body); cap(body) < n || cap(body) > 2*n {
		body = nil // too small, or wasted for as long as the message waits
	}
	body = append(body, m.Body...)
	e.msg = *m
	e.msg.Headers = maps.Clone(m.Headers)
	e.msg.Body = body
	e.msg.Time = time.UnixMilli(m.Time.UnixMilli()).UTC()
	e.msg.TTL = roundUp(m.TTL)
	e.deadline, e.at = 0, 0
	e.attempt, e.redelivered, e.dead = 1, false, false
}

// lose ends the hold on e, whose holder may go on looking at it, and returns
// the message as it comes again.
func (e *entry) lose() *entry {
	e.held = 0
	return &entry{msg: e.msg, deadline: e.deadline, at: e.at, seq: e.seq, attempt: e.attempt, dead: e.dead, redelivered: true}
}

// size is about how many bytes e takes.
func (e *entry) size() int { return int(unsafe.Sizeof(*e)) + cap(e.msg.Body) }

// expired says whether e's own TTL is over.
func (e *entry) expired(now time.Duration) bool { return e.deadline > 0 && e.deadline <= now }

// roundUp makes whole milliseconds of d, as AMQP counts them.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

// bag is a set of entries in no order.
type bag []*entry

func (b *bag) add(e *entry) {
	*b = append(*b, e)
	e.held = int32(len(*b))
}

// remove gives memory back once three quarters of it are unused.
func (b *bag) remove(e *entry) {
	all := *b
	last := len(all) - 1
	all[e.held-1] = all[last]
	all[last].held = e.held
	all[last], e.held = nil, 0
	*b = all[:last]
	if last > 64 && last < cap(all)/4 {
		*b = append(make(bag, 0, 2*last), all[:last]...)
	}
}

// list is a doubly linked list through the entries themselves, so that every
// operation is O(1) and none allocates. Its zero value is empty.
type list struct {
	head, tail *entry
	len        int
}

func (l *list) pushBack(e *entry) {
	e.prev, e.next = l.tail, nil
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
	l.len++
}

func (l *list) remove(e *entry) {
	if e.prev == nil {
		l.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	l.len--
}
