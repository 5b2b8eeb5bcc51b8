package memory

import (
	"cmp"
	"context"
	"runtime"

	"github.com/warrenmq/warren/pkg/messaging"
)

// chunk is how many messages are stored under one lock: enough to make its
// cost small, few enough that consumers and the end of ctx need not wait.
const chunk = 64

// Publish stores msgs in the queue to, or in the queues that are bound to the
// topic to, see [messaging.Publisher]. A full queue refuses at once. A delayed
// message needs its queue or topic to exist when it is published, but does not
// count for MaxLength; who gets it on a topic is decided when its delay is over.
//
// Where one of a topic's queues is full, the message is ErrRejected, though the
// others have stored it, as on RabbitMQ: publishing it again is a duplicate for
// them.
func (b *Broker) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	if err := messaging.Prepare(to, msgs); err != nil {
		return err
	}
	p := publication{b: b, to: to, msgs: msgs}
	for start := 0; start < len(msgs); start += chunk {
		if err := p.store(ctx, start, min(start+chunk, len(msgs))); err != nil {
			p.failFrom(start, err)
			break
		}
		if p.ahead {
			runtime.Gosched()
		}
	}
	if p.doubts != nil {
		p.confirm(ctx)
	}
	if p.failed != nil {
		return &messaging.PublishError{To: to, Failed: p.failed}
	}
	return nil
}

// publication is the state of one Publish.
type publication struct {
	b      *Broker
	to     messaging.Address
	msgs   []*messaging.Message
	match  matcher                  // where it is to a topic
	failed []messaging.MessageError // in the order of msgs
	ahead  bool                     // of the queue's consumers

	doubts []doubt
	losses int // Broker.losses when the first of them was stored
}

// store stores a chunk of the messages. The error is for all from start on:
// none of those is stored.
func (p *publication) store(ctx context.Context, start, end int) error {
	var copies *entry
	if p.to.IsQueue() {
		copies = p.copy(start, end) // before a lock is taken
	}
	if err := p.b.enter(ctx, publishing); err != nil {
		return err
	}
	defer p.b.mu.RUnlock()
	if p.to.IsTopic() {
		p.route(start, end)
		return nil
	}
	q := p.b.queues[p.to.Name()]
	if q == nil {
		return messaging.ErrUnroutable
	}
	q.mu.Lock()
	defer q.unlock()
	for i := start; i < end; i++ {
		e := copies
		copies, e.next = e.next, nil
		fault, err := p.check(i)
		if err == nil {
			err = q.publish(e)
		}
		if err == nil && fault.twice() {
			err = q.publish(p.b.newEntry(p.msgs[i]))
		}
		p.note(i, fault, err)
	}
	p.ahead = q.behind()
	return nil
}

// copy returns an entry for each message of a chunk, linked by next. That of a
// message that is too large is empty.
func (p *publication) copy(start, end int) *entry {
	first := p.b.stock.get(end - start)
	link := &first
	for _, m := range p.msgs[start:end] {
		if *link == nil {
			*link = new(entry)
		}
		if p.tooLarge(m) == nil {
			(*link).fill(m)
		}
		link = &(*link).next
	}
	return first
}

// route stores a chunk of the messages in the queues that are bound to the
// topic. It needs b.mu, for reading.
func (p *publication) route(start, end int) {
	t := p.b.topics[p.to.Name()]
	for i, m := range p.msgs[start:end] {
		fault, err := p.check(start + i)
		if err == nil && t != nil {
			err = t.publish(m, &p.match)
		}
		if err == nil && t != nil && fault.twice() {
			err = t.publish(m, &p.match)
		}
		p.note(start+i, fault, err)
	}
}

// check says whether message i is to be stored, and what goes wrong with it;
// most often nothing, which is nil. It needs b.mu, for reading.
func (p *publication) check(i int) (*Fault, error) {
	if err := p.tooLarge(p.msgs[i]); err != nil {
		return nil, err
	}
	fault := p.b.faults.next(p.to)
	return fault, fault.err()
}

// note takes note of what became of message i. It needs b.mu, for reading.
func (p *publication) note(i int, fault *Fault, err error) {
	if err != nil {
		p.fail(i, err)
		return
	}
	p.b.recording.note(p.to, p.msgs[i])
	p.doubt(i, fault)
}

func (p *publication) tooLarge(m *messaging.Message) error {
	return messaging.CheckSize(m, p.b.maxMessageSize)
}

func (p *publication) fail(i int, err error) {
	p.failed = append(p.failed, messaging.MessageError{Index: i, ID: p.msgs[i].ID, Err: err})
}

// failFrom fails all messages from start on: those that are too large for that
// reason, as they would fail again, the others with err.
func (p *publication) failFrom(start int, err error) {
	for i, m := range p.msgs[start:] {
		p.fail(start+i, cmp.Or(p.tooLarge(m), err))
	}
}
