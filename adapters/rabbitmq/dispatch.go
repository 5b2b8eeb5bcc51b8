package rabbitmq

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// dispatch is one call of publisher.send, on the goroutine of its caller.
type dispatch struct {
	p        *publisher
	ctx      context.Context
	progress *atomic.Int64
	msgs     []outgoing
	state    []sending
}

// sending is what has become of one message so far.
type sending struct {
	done    bool
	err     error     // where done: why it is not stored, nil if it is
	unsure  bool      // it was sent, and the connection lost before it was confirmed
	refused time.Time // since when the broker refuses it, zero where it does not
	suspect bool      // the broker closed its channel, maybe because of it
}

// refusedFirst is the first wait before what was refused is sent again.
const refusedFirst = 50 * time.Millisecond

func (d *dispatch) run() []error {
	lane := d.p.pick()
	todo := make([]int, len(d.msgs))
	for i := range todo {
		todo[i] = i
	}
	for round := 0; ; round++ {
		lane.load.Add(int64(len(todo)))
		d.attempt(lane, newBatch(d.msgs, todo))
		lane.load.Add(-int64(len(todo)))
		todo = d.left(todo)
		if len(todo) == 0 {
			return d.errors()
		}
		refused, suspect := d.survey(todo)
		if suspect {
			lane = d.p.alone
		}
		if refused {
			d.rest(backoff(round, refusedFirst, d.p.cfg.rejectTimeout/4))
		}
	}
}

// left keeps those messages that are not done.
func (d *dispatch) left(todo []int) []int {
	kept := todo[:0]
	for _, i := range todo {
		if !d.state[i].done {
			kept = append(kept, i)
		}
	}
	return kept
}

// survey says whether any message was refused or is under suspicion.
func (d *dispatch) survey(todo []int) (refused, suspect bool) {
	for _, i := range todo {
		refused = refused || !d.state[i].refused.IsZero()
		suspect = suspect || d.state[i].suspect
	}
	return refused, suspect
}

// rest waits before what was refused is sent again.
func (d *dispatch) rest(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.ctx.Done():
	case <-d.p.cut:
	}
}

// errors returns what failed, nil where nothing did.
func (d *dispatch) errors() []error {
	var errs []error
	for i := range d.state {
		if d.state[i].err != nil {
			if errs == nil {
				errs = make([]error, len(d.state))
			}
			errs[i] = d.state[i].err
		}
	}
	return errs
}

// attempt hands a batch to a lane and waits for what becomes of its messages.
func (d *dispatch) attempt(l *lane, b *batch) {
	if d.ctx.Err() != nil {
		d.giveUp(b.index)
		return
	}
	select {
	case l.work <- b:
	case <-d.ctx.Done():
		d.giveUp(b.index)
		return
	case <-d.p.cut:
		d.giveUp(b.index)
		return
	}
	for next := 0; ; {
		written, finished := b.written()
		for ; next < len(written); next++ {
			if !d.wait(written[next].Done()) {
				d.abandon(l, b, next)
				return
			}
			d.settle(l, b, next, written[next])
		}
		if finished {
			d.notWritten(b, next)
			return
		}
		if !d.wait(b.wake) {
			d.abandon(l, b, next)
			return
		}
	}
}

// wait waits for c, and says whether that came before the end of everything.
func (d *dispatch) wait(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
	}
	select {
	case <-c:
		return true
	case <-d.ctx.Done():
		return false
	case <-d.p.cut:
		return false
	}
}

// settle notes what a confirmation means for message k of b.
func (d *dispatch) settle(l *lane, b *batch, k int, c *amqp.DeferredConfirmation) {
	s := &d.state[b.index[k]]
	switch b.session.outcome(&d.msgs[b.index[k]], c) {
	case stored:
		s.done = true
		b.session.gen.use()
	case returned:
		s.done, s.err = true, messaging.ErrUnroutable
	case refused:
		if !s.refused.IsZero() { // not for the first time
			b.session.distrust()
		}
		d.refuse(s)
	case lost:
		d.lose(s, &d.msgs[b.index[k]], l, b.session)
	}
	b.session.release()
	d.progress.Add(1)
}

// refuse notes that the broker answered with a nack. It gives no reason: the
// queue may be full, or its leader just moved.
func (d *dispatch) refuse(s *sending) {
	now := time.Now()
	if s.refused.IsZero() {
		s.refused = now
	}
	if now.Sub(s.refused) >= d.p.cfg.rejectTimeout {
		s.done, s.err = true, fmt.Errorf("%w for %s; is the queue full?", messaging.ErrRejected, d.p.cfg.rejectTimeout)
	}
}

// lose notes that the channel was closed before the confirmation came. If the
// broker closed it for a message, and this one was alone on it, it is to blame.
func (d *dispatch) lose(s *sending, m *outgoing, l *lane, of *session) {
	s.unsure, s.refused = true, time.Time{}
	exception := of.exception()
	if exception == nil {
		return
	}
	alone := l == d.p.alone
	if m.nobodyTakes(exception, alone) { // nor would anybody if it was sent again
		s.done = true
		d.p.topics.Delete(m.exchange)
		return
	}
	s.suspect = true
	if alone {
		s.done, s.err = true, exception
	}
}

// notWritten notes what the writer did not get to because its channel was
// closed. The first of it may have been written in part. All of it is sent
// again, after what was written and lost.
func (d *dispatch) notWritten(b *batch, next int) {
	if next < b.begun() {
		d.state[b.index[next]].unsure = true
	}
}

// abandon ends the waiting for a batch from message next on. What was written
// goes on being waited for by somebody else, for as long as its permits are
// taken.
func (d *dispatch) abandon(l *lane, b *batch, next int) {
	written, begun := b.withdraw()
	var open []int
	for k := next; k < begun; k++ {
		if k < len(written) && isDone(written[k]) {
			d.settle(l, b, k, written[k])
			continue
		}
		d.state[b.index[k]].unsure = true
		open = append(open, k)
	}
	if len(open) > 0 {
		d.p.running.Go(func() { b.reap(open) })
	}
	d.giveUp(b.index[next:])
}

// giveUp says of these messages that ctx has ended, or the broker closed.
func (d *dispatch) giveUp(todo []int) {
	why := messaging.ErrClosed
	if d.ctx.Err() != nil {
		why = d.p.link.because(endOf(d.ctx))
	}
	for _, i := range todo {
		s := &d.state[i]
		switch {
		case s.done:
			continue
		case s.unsure:
			s.err = fmt.Errorf("%w: %w", messaging.ErrUnconfirmed, why)
		case !s.refused.IsZero():
			s.err = fmt.Errorf("%w: %w", messaging.ErrRejected, why)
		default:
			s.err = fmt.Errorf("not sent: %w", why)
		}
		s.done = true
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
