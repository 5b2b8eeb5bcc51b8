package consumer

import (
	"sync"
	"time"
)

// inactivity notices that nothing was handled for a while.
type inactivity struct {
	after time.Duration
	timer *time.Timer // nil when nobody asked

	mu   sync.Mutex
	busy int // handlers that are running
}

// newInactivity calls expired when nothing was handled for so long, counted
// from the first watch; 0 is never.
func newInactivity(after time.Duration, expired func()) *inactivity {
	q := &inactivity{after: after}
	if after > 0 {
		q.timer = time.AfterFunc(after, expired)
		q.timer.Stop()
	}
	return q
}

// watch starts the time again, unless something is being handled.
func (q *inactivity) watch() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timer != nil && q.busy == 0 {
		q.timer.Reset(q.after)
	}
}

func (q *inactivity) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy++
	if q.timer != nil {
		q.timer.Stop()
	}
}

func (q *inactivity) end() {
	q.mu.Lock()
	q.busy--
	q.mu.Unlock()
	q.watch()
}

func (q *inactivity) stop() {
	if q.timer != nil {
		q.timer.Stop()
	}
}
