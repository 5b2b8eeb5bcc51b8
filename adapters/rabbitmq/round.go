package rabbitmq

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// round is one attempt of a dispatch to send what is not stored yet. What was
// written is settled in order.
type round struct {
	*dispatch
	lane    *lane
	session *session
	alone   bool // one message at a time
	todo    []int
	written int  // of todo
	settled int  // of what was written
	over    bool // the call has ended
}

// write writes todo in order, until the session is closed or the call ends.
// What is put in the outbox meanwhile goes to the network now and then, and
// all of it before anything is waited for.
func (r *round) write() {
	out := r.session.gen.socket.out
	out.hold()
	defer func() { out.flush(r.lane.load.Load() == int64(len(r.todo))) }()
	for _, i := range r.todo {
		m := &r.msgs[i]
		m.confirm = nil
		if !r.prepare(i) {
			r.written++
			continue
		}
		if !r.admit(out, len(m.publishing.Body)) {
			return
		}
		sent := r.send(m)
		out.arrived(len(m.publishing.Body))
		if !sent {
			return
		}
		r.written++
	}
}

// send writes m, for which there is a permit.
func (r *round) send(m *sending) bool {
	c, err := r.session.publish(&m.outgoing)
	if err == nil {
		m.confirm = c
		return true
	}
	r.session.release()
	if !r.session.ending(err) {
		m.done, m.err = true, err
		return false
	}
	m.unsure = true // part of it may have been written
	if !r.wait(r.session.dead) {
		r.over = true
	}
	return false
}

// admit waits until the broker takes messages, and the connection and the
// session have room for one more, with a body of so many bytes.
func (r *round) admit(out *outbox, size int) bool {
	for r.ctx.Err() == nil {
		blocked := r.session.blocked()
		var full <-chan struct{}
		if blocked == nil {
			full = out.admit(size)
		}
		if blocked == nil && full == nil {
			select {
			case r.session.permits <- struct{}{}:
				return true
			default:
				out.arrived(size) // it waits for a permit first
			}
		}
		out.flush(false)
		got := r.await(blocked, full)
		out.hold()
		if r.over || r.session.ch.IsClosed() {
			if got {
				r.session.release()
			}
			return false
		}
		if !got {
			continue
		}
		if r.session.blocked() == nil && out.admit(size) == nil {
			return true
		}
		r.session.release()
	}
	r.over = true
	return false
}

// await waits for one thing that writing waits for, and says whether it got a
// permit. The permits may all be this call's own, so it settles meanwhile.
func (r *round) await(blocked, full <-chan struct{}) bool {
	var permits chan<- struct{}
	if blocked == nil && full == nil {
		permits = r.session.permits
	}
	select {
	case permits <- struct{}{}:
		return true
	case <-blocked:
	case <-full:
	case <-r.oldest():
		r.settleNext()
	case <-r.session.dead:
	case <-r.ctx.Done():
		r.over = true
	case <-r.p.cut:
		r.over = true
	case <-r.limit():
		r.over, r.impatient = true, true
	}
	return false
}

// oldest is closed when the first message that is not settled is confirmed;
// nil where there is none.
func (r *round) oldest() <-chan struct{} {
	for ; r.settled < r.written; r.settled++ {
		if c := r.msgs[r.todo[r.settled]].confirm; c != nil {
			return c.Done()
		}
	}
	return nil
}

// settle waits for what becomes of the first n of todo, which were written.
func (r *round) settle(n int) {
	for r.settled < n && !r.over {
		confirmed := r.oldest()
		if confirmed == nil {
			return
		}
		if !r.wait(confirmed) {
			r.over = true
			return
		}
		r.settleNext()
	}
}

// settleNext notes what the confirmation of the oldest message means.
func (r *round) settleNext() {
	m := &r.msgs[r.todo[r.settled]]
	r.settled++
	r.progressed()
	switch r.session.outcome(&m.outgoing, m.confirm) {
	case stored:
		m.done = true
		r.session.gen.use()
	case returned:
		m.done, m.err = true, messaging.ErrUnroutable
	case refused:
		if !m.refused.IsZero() { // not for the first time
			r.session.distrust()
		}
		r.refuse(m)
	case lost:
		r.lose(m)
	}
	r.session.release()
}

// refuse notes that the broker answered with a nack. It gives no reason: the
// queue may be full, or its leader just moved.
func (r *round) refuse(m *sending) {
	now := time.Now()
	if m.refused.IsZero() {
		m.refused = now
	}
	if now.Sub(m.refused) >= r.p.cfg.rejectTimeout {
		m.done, m.err = true, fmt.Errorf("%w for %s; is the queue full?", messaging.ErrRejected, r.p.cfg.rejectTimeout)
	}
}

// lose notes that the channel was closed before the confirmation came. If the
// broker closed it for a message, and this one was alone on it, it is to blame.
func (r *round) lose(m *sending) {
	m.unsure, m.refused = true, time.Time{}
	exception := r.session.exception()
	if exception == nil {
		return
	}
	if m.nobodyTakes(exception, r.alone) { // nor would anybody if it was sent again
		m.done = true
		r.p.topics.Delete(m.exchange)
		return
	}
	m.suspect = true
	if r.alone {
		m.done, m.err = true, exception
	}
}

// abandon ends the waiting. What was written goes on being waited for by
// somebody else, for as long as its permits are taken.
func (r *round) abandon() {
	var open []*sending
	for r.oldest() != nil {
		m := &r.msgs[r.todo[r.settled]]
		if isDone(m.confirm) {
			r.settleNext()
			continue
		}
		m.unsure = true
		r.settled++
		open = append(open, m)
	}
	if len(open) > 0 {
		r.lane.load.Add(int64(len(open)))
		r.p.running.Go(func() { r.session.reap(open, r.lane) })
	}
	r.giveUp(r.todo)
}

// reap waits for messages that their caller no longer waits for, so that their
// permits are free again. Every confirmation ends with the connection at the
// latest.
func (s *session) reap(open []*sending, l *lane) {
	for _, m := range open {
		<-m.confirm.Done()
		s.outcome(&m.outgoing, m.confirm)
		s.release()
		l.load.Add(-1)
	}
}

func isDone(c *amqp.DeferredConfirmation) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}
