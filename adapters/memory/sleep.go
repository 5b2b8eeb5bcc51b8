package memory

import (
	"context"
	"runtime"
	"sync/atomic"
)

// sleepers are the workers of a subscription that wait for a message. Each
// message that is dealt wakes one of them up, if there is one.
type sleepers struct {
	n      atomic.Int32  // those that nobody has woken up yet
	tokens chan struct{} // one for each that somebody has; has room for all
}

func newSleepers(workers int) sleepers {
	return sleepers{tokens: make(chan struct{}, workers)}
}

func (s *sleepers) wake() {
	for n := s.n.Load(); n > 0; n = s.n.Load() {
		if s.n.CompareAndSwap(n, n-1) {
			s.tokens <- struct{}{}
			return
		}
	}
}

// patience is how often a worker lets others run before it sleeps: to be woken
// up costs both sides more than that, and when a publisher is busy, there is a
// next message, or many, a moment later.
const patience = 8

// receive takes the next message for a handler, nil when ctx has ended.
func (s *subscription) receive(ctx context.Context) *entry {
	for ctx.Err() == nil {
		c := s.current.Load()
		if c != nil {
			if e := c.desk.take(); e != nil {
				return e
			}
			if s.refill(c) {
				continue
			}
		}
		s.sleep(ctx, c)
	}
	if c := s.current.Load(); c != nil {
		c.flush()
	}
	return nil
}

// refill says whether there may be something on c's desk now.
func (s *subscription) refill(c *consumer) bool {
	c.refill()
	for range patience {
		if !c.idle() {
			return true
		}
		runtime.Gosched()
	}
	return false
}

// sleep waits until there may be a message, or ctx has ended. c is where there
// was none.
func (s *subscription) sleep(ctx context.Context, c *consumer) {
	s.workers.n.Add(1)
	if s.current.Load() != c || c != nil && !c.idle() { // before it was seen to be asleep
		s.workers.wake()
	}
	select {
	case <-s.workers.tokens:
	case <-ctx.Done():
	}
}

// wake lets a worker of s know that there is a message. The first of them is
// told when the queue's mutex is free, because the worker will want it. It needs
// q.mu.
func (q *queue) wake(s *subscription) {
	switch {
	case s.workers.n.Load() == 0:
	case q.woken == nil:
		q.woken = s
	default:
		s.workers.wake()
	}
}
