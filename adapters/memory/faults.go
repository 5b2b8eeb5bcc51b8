package memory

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// The faults on demand, in terms of what a broker does. The package comment has
// the list.

// Disconnect is the connection being lost. Whoever publishes waits, as do the
// other calls; what consumers hold goes back to its queue, marked Redelivered.
// Running handlers go on, but what they decide has no effect. Queues that are
// AutoDelete are deleted if they had consumers. It lasts until
// [Broker.Reconnect].
func (b *Broker) Disconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down || b.closing {
		return
	}
	b.lastErr = errors.New("the connection was lost")
	b.losses++
	b.setDown(true)
	for _, q := range b.queues {
		if q.lose(b.lastErr) {
			b.remove(q)
		}
	}
}

// Reconnect ends what [Broker.Disconnect] began: publishers go on, and
// subscriptions resume.
func (b *Broker) Reconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down || b.closing {
		return
	}
	b.setDown(false)
	for s := range b.subs {
		s.interrupt(nil)
	}
}

func (b *Broker) setDown(down bool) {
	b.down = down
	b.since = time.Now()
	b.notify()
}

// lose puts back what is held, and forgets the consumers. It says whether q is
// to be deleted for it. It takes q.mu itself.
func (q *queue) lose(why error) bool {
	q.mu.Lock()
	defer q.unlock()
	abandoned := q.spec.AutoDelete && len(q.members) > 0
	q.loseConsumers(why)
	for _, e := range q.held {
		q.putBack(e.lose())
	}
	q.held = nil
	q.trim()
	return abandoned
}

// Block makes the broker accept no messages, as RabbitMQ does when it is short
// of memory or disk. Publish waits; consumers go on. It lasts until
// [Broker.Unblock].
func (b *Broker) Block(reason string) { b.setBlocked(true, reason) }

// Unblock ends what [Broker.Block] began.
func (b *Broker) Unblock() { b.setBlocked(false, "") }

func (b *Broker) setBlocked(blocked bool, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blocked, b.reason = blocked, reason
	b.notify()
}

// CancelConsumers is the broker cancelling all consumers of a queue, as
// RabbitMQ does when the queue's node goes away. What they have not begun to
// handle goes back unmarked, what they handle is settled as ever, and the
// subscriptions resume by themselves.
func (b *Broker) CancelConsumers(a messaging.Address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[a.Name()]
	if q == nil || !a.IsQueue() {
		return
	}
	q.mu.Lock()
	defer q.unlock()
	if len(q.consumers) == 0 {
		return
	}
	b.lastErr = fmt.Errorf("the broker cancelled the consumers of %s", a)
	for len(q.consumers) > 0 {
		c := q.consumers[0]
		q.detach(c)
		c.sub.interrupt(b.lastErr)
	}
	q.dispatch() // to nobody, but what is over the queue's length goes
}

// Redeliver is the broker closing the channels of all consumers of a queue, as
// RabbitMQ does with one that has taken too long to acknowledge. All that is
// held comes again, marked Redelivered; running handlers go on, but what they
// decide has no effect. The subscriptions resume by themselves. A queue that is
// AutoDelete and has consumers is deleted by it.
func (b *Broker) Redeliver(a messaging.Address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[a.Name()]
	if q == nil || !a.IsQueue() {
		return
	}
	if q.lose(fmt.Errorf("the broker closed the channels of the consumers of %s", a)) {
		b.remove(q)
	}
}

// Inject puts m into a queue as it is, as a producer would that does not use
// this library: nothing is filled in, checked or waited for. ErrUnroutable
// where there is no such queue, ErrRejected where it is full.
func (b *Broker) Inject(a messaging.Address, m messaging.Message) error {
	if err := b.store(a, &entry{msg: m.Clone(), attempt: 1}); err != nil {
		return fmt.Errorf("inject into %s: %w", a, err)
	}
	return nil
}

// HoldConfirms makes the broker store what is published and not confirm it:
// Publish waits, and gives up with ErrUnconfirmed. Where the connection is lost
// meanwhile, Publish sends again, so that the messages are there twice. It
// lasts until [Broker.ReleaseConfirms].
func (b *Broker) HoldConfirms() { b.setHolding(true) }

// ReleaseConfirms ends what [Broker.HoldConfirms] began.
func (b *Broker) ReleaseConfirms() { b.setHolding(false) }

func (b *Broker) setHolding(holding bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding = holding
	b.notify()
}

// Fault is what goes wrong with messages that are published, see
// [Broker.OnPublish]. To, Skip and Times say with which, the other fields say
// what.
type Fault struct {
	// To is the address that they are published to. Defaults to any.
	To messaging.Address
	// Skip is how many of them are spared first. Defaults to 0.
	Skip int
	// Times is how many are concerned then; negative is all. Defaults to 1.
	Times int

	// Err is what Publish fails with for the message, which is not stored:
	// ErrRejected, or anything else. Defaults to nil: it is stored.
	Err error
	// NoConfirm stores the message and loses its confirmation: Publish waits
	// for it until its context ends, and gives up with ErrUnconfirmed.
	NoConfirm bool
	// ConfirmAfter is how long the confirmation takes. Defaults to 0.
	ConfirmAfter time.Duration
	// Twice stores the message twice, as happens when a producer sends it again
	// because the connection was lost before the confirmation came.
	Twice bool
}

// OnPublish makes these faults happen to what is published from now on, and
// ends those of the call before. Each counts, on its own, the messages to its
// address that reach the broker, those included that are sent again. Where
// several concern one message, the first of them happens.
func (b *Broker) OnPublish(all ...Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
	if len(all) > 0 {
		b.faults = newFaults(all)
	}
}

// faults are those of one OnPublish; nil is none.
type faults struct {
	mu  sync.Mutex
	all []Fault // with Skip and Times that are left
}

func newFaults(all []Fault) *faults {
	f := &faults{all: append([]Fault(nil), all...)}
	for i := range f.all {
		if f.all[i].Times == 0 {
			f.all[i].Times = 1
		}
	}
	return f
}

// next is what happens to the next message to an address, nil for nothing.
func (f *faults) next(to messaging.Address) *Fault {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var first *Fault
	for i := range f.all {
		if fault := &f.all[i]; fault.concerns(to) && first == nil {
			happens := *fault
			first = &happens
		}
	}
	return first
}

// concerns counts a message.
func (f *Fault) concerns(to messaging.Address) bool {
	switch {
	case !f.To.IsZero() && f.To != to || f.Times == 0:
		return false
	case f.Skip > 0:
		f.Skip--
		return false
	case f.Times > 0:
		f.Times--
	}
	return true
}

func (f *Fault) err() error {
	if f == nil {
		return nil
	}
	return f.Err
}

func (f *Fault) twice() bool { return f != nil && f.Twice }

// confirmAt is when a message is confirmed that is stored now.
func (f *Fault) confirmAt(now time.Duration) time.Duration {
	switch {
	case f == nil:
		return now
	case f.NoConfirm:
		return never
	default:
		return now + f.ConfirmAfter
	}
}
