package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// dispatch is one call of publisher.send, on the goroutine of its caller.
type dispatch struct {
	p      *publisher
	ctx    context.Context
	encode func(int) (outgoing, error)
	msgs   []sending

	timer     *time.Timer // for the next sign of progress; nil while none was waited for
	impatient bool        // it did not come in time
}

// sending is a message and what has become of it so far.
type sending struct {
	outgoing
	encoded bool
	confirm *amqp.DeferredConfirmation // of the present round; nil while it has not been written

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
		load := int64(len(todo))
		lane.load.Add(load)
		d.attempt(lane, todo)
		lane.load.Add(-load)
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
		if !d.msgs[i].done {
			kept = append(kept, i)
		}
	}
	return kept
}

// survey says whether any message was refused or is under suspicion.
func (d *dispatch) survey(todo []int) (refused, suspect bool) {
	for _, i := range todo {
		refused = refused || !d.msgs[i].refused.IsZero()
		suspect = suspect || d.msgs[i].suspect
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
	for i := range d.msgs {
		if d.msgs[i].err != nil {
			if errs == nil {
				errs = make([]error, len(d.msgs))
			}
			errs[i] = d.msgs[i].err
		}
	}
	return errs
}

// attempt writes messages in order to one session of a lane, as long as it
// lasts, and waits for what becomes of them.
func (d *dispatch) attempt(l *lane, todo []int) {
	s := d.open(l, todo)
	if s == nil {
		d.giveUp(todo)
		return
	}
	r := &round{dispatch: d, lane: l, session: s, todo: todo, alone: l == d.p.alone}
	r.write()
	r.settle(r.written)
	if r.over {
		r.abandon()
	}
}

// open waits for a session of l. It returns nil when the call has ended before,
// or none of todo is left to send: what cannot be sent does not wait.
func (d *dispatch) open(l *lane, todo []int) *session {
	for d.ctx.Err() == nil {
		s, opening := l.session()
		if s != nil {
			return s
		}
		sendable := false
		for _, i := range todo {
			sendable = d.prepare(i) || sendable
		}
		if !sendable || !d.wait(opening) {
			break
		}
	}
	return nil
}

// prepare says whether there is something to send. Otherwise the message is
// done.
func (d *dispatch) prepare(i int) bool {
	m := &d.msgs[i]
	if m.encoded {
		return !m.done
	}
	m.encoded = true
	m.outgoing, m.err = d.encode(i)
	if m.err == nil {
		return true
	}
	m.done = true
	if m.err == errNobody { //nolint:errorlint // it is never wrapped
		m.err = nil
	}
	return false
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
	case <-d.p.cut:
	case <-d.limit():
		d.impatient = true
	}
	return false
}

// limit gets a value when nothing was confirmed for too long, where the call's
// context has no deadline.
func (d *dispatch) limit() <-chan time.Time {
	if _, limited := d.ctx.Deadline(); limited {
		return nil
	}
	if d.timer == nil {
		d.timer = timers.Get().(*time.Timer)
		d.timer.Reset(d.p.cfg.publishTimeout)
	}
	return d.timer.C
}

// progressed says that something was confirmed, or refused.
func (d *dispatch) progressed() {
	if d.timer != nil {
		d.timer.Reset(d.p.cfg.publishTimeout)
	}
}

// timers are used again: most calls wait for one confirmation, and not long.
var timers = sync.Pool{New: func() any { return time.NewTimer(time.Hour) }}

func (d *dispatch) stop() {
	if d.timer != nil {
		d.timer.Stop()
		timers.Put(d.timer)
	}
}

// giveUp says of these messages that the call has ended.
func (d *dispatch) giveUp(todo []int) {
	why := d.ending()
	for _, i := range todo {
		s := &d.msgs[i]
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

// ending is why the call ends before its messages are stored: its context, the
// limit where that has none, or the broker that was closed.
func (d *dispatch) ending() error {
	switch {
	case d.ctx.Err() != nil:
		return d.p.link.because(endOf(d.ctx))
	case d.impatient:
		return d.p.link.because(d.p.impatience())
	default:
		return messaging.ErrClosed
	}
}
