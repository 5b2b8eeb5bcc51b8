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
	q.wakeAt(due)
}

// expire sees to it that e, which is ready, is dropped when its time is over.
// It needs q.mu.
func (q *queue) expire(e *entry) {
	if e.at > 0 {
		q.expiring.add(e)
		q.wakeAt(e.at)
	}
}

// wakeAt makes the timer fire at that time or before. A timer that fires for
// what is gone meanwhile does no harm, so none is ever put off. It needs q.mu.
func (q *queue) wakeAt(at time.Duration) {
	if q.timerAt > 0 && q.timerAt <= at {
		return
	}
	q.timerAt = at
	in := at - q.b.now()
	if q.timer == nil {
		q.timer = time.AfterFunc(in, q.onTimer)
	} else {
		q.timer.Reset(in)
	}
}

func (q *queue) onTimer() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deleted {
		return
	}
	q.timerAt = 0
	now := q.b.now()
	q.dropExpired(now)
	q.enqueueDue(now)
	for _, h := range [...]*entryHeap{&q.expiring, &q.waiting} {
		if e := h.first(); e != nil {
			q.wakeAt(e.at)
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
		if e.deadline == 0 || e.deadline > now {
			q.enqueue(e)
		}
	}
}
