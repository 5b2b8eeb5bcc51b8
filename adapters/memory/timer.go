package memory

import "time"

// timerBatch is how many entries one run of a queue's timer handles before it
// lets others have the queue.
const timerBatch = 256

// wait keeps e aside until it is due; one that expires before is dropped then.
// It needs q.mu.
func (q *queue) wait(e *entry, due time.Duration) {
	if e.deadline > 0 && e.deadline < due {
		due = e.deadline
	}
	q.seqs++ // equal times come in the order in which they began to wait
	e.seq, e.at = q.seqs, due
	q.waiting.add(e)
	q.alarm.set(due, q.b.now())
}

// expire sees to it that e, which is ready, is dropped when its time is over.
// It needs q.mu.
func (q *queue) expire(e *entry) {
	if e.at > 0 {
		q.expiring.add(e)
		q.alarm.set(e.at, q.b.now())
	}
}

// alarm calls ring at the earliest of the times that it is set for. Whose queue
// or topic it belongs to has the mutex for it.
type alarm struct {
	ring  func()
	timer *time.Timer   // nil until the first use
	at    time.Duration // when it will ring; 0 is not at all. ring resets it
}

// set makes it ring at that time or before. To ring for what is gone meanwhile
// does no harm, so it is never put off.
func (a *alarm) set(at, now time.Duration) {
	if a.at > 0 && a.at <= at {
		return
	}
	a.at = at
	if a.timer == nil {
		a.timer = time.AfterFunc(at-now, a.ring)
	} else {
		a.timer.Reset(at - now)
	}
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

func (q *queue) onTimer() {
	q.mu.Lock()
	defer q.unlock()
	if q.deleted {
		return
	}
	q.alarm.at = 0
	now := q.b.now()
	q.dropExpired(now)
	q.enqueueDue(now)
	for _, h := range [...]*entryHeap{&q.expiring, &q.waiting} {
		if e := h.first(); e != nil {
			q.alarm.set(e.at, now)
		}
	}
}

func (q *queue) dropExpired(now time.Duration) {
	for range timerBatch {
		e := q.expiring.first()
		if e == nil || e.at > now {
			return
		}
		q.drop(e)
	}
}

func (q *queue) enqueueDue(now time.Duration) {
	for range timerBatch {
		e := q.waiting.first()
		if e == nil || e.at > now {
			return
		}
		q.waiting.remove(e)
		if !e.expired(now) {
			q.enqueue(e)
		}
	}
}
