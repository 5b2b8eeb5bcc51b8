package memory

import (
	"maps"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// entry is a message in a queue. msg never changes; the rest belongs to the
// queue's mutex. It is in exactly one of the queue's places: ready (fifo or
// returned), held, or waiting.
type entry struct {
	msg         messaging.Message
	deadline    time.Duration // when its own TTL ends, on the broker's clock; 0 is never
	at          time.Duration // ready: when it expires, 0 is never; waiting: when it is due
	seq         uint64        // its place in the queue
	tag         uint64        // the hold on it; 0 is none
	prev, next  *entry        // neighbours in fifo or held
	ordered     int32         // index in returned, from 1; 0 is not in it
	timed       int32         // index in expiring or waiting, from 1; 0 is not in it
	attempt     int32
	redelivered bool
	dead        bool // is a dead letter
	lost        bool // a hold on it was lost, so whoever had that may still look at it
}

// entries are acknowledged ones that wait to be used again with the memory of
// their bodies: memory that is used once is most of the cost of a message.
var entries = sync.Pool{New: func() any { return new(entry) }}

// newEntry copies what was published. Times have milliseconds, as on the wire.
func newEntry(m *messaging.Message) *entry {
	e := entries.Get().(*entry)
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
	e.attempt = 1
	return e
}

// free gives up an entry that was acknowledged and so is in no queue.
func (e *entry) free() {
	if e.lost {
		return
	}
	*e = entry{msg: messaging.Message{Body: e.msg.Body}}
	entries.Put(e)
}

// expired says whether e's own TTL is over.
func (e *entry) expired(now time.Duration) bool { return e.deadline > 0 && e.deadline <= now }

// roundUp makes whole milliseconds of d, as AMQP counts them.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
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
