package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/warrenmq/warren/pkg/messaging"
)

// topic is a topic: who gets what is published to it. It keeps no messages but
// those whose delay is not over, which are routed when it is, as those are that
// come out of a wait queue of RabbitMQ.
type topic struct {
	b        *Broker
	address  messaging.Address
	bindings trie // belongs to b.mu

	mu      sync.Mutex // comes after b.mu, and is never held together with a queue's
	deleted bool
	seqs    uint64
	delayed entryHeap
	due     int // taken out of delayed and not routed yet
	alarm   alarm
}

// binding is one pattern of a queue's.
type binding struct {
	t       *topic
	pattern string
}

// everything is the pattern of who asks for none.
var everything = []string{"#"}

// bindingKeys are the patterns that src asks for.
func bindingKeys(src *messaging.Source) []string {
	if len(src.Keys) == 0 {
		return everything
	}
	return src.Keys
}

// isPrivate says whether src is a subscription to a topic without a group.
func isPrivate(src *messaging.Source) bool { return src.Address.IsTopic() && src.Group == "" }

// specOf is what the queue of src is declared with where it is missing.
func specOf(src *messaging.Source) messaging.QueueSpec {
	if isPrivate(src) {
		return messaging.QueueSpec{Name: "warren.private." + messaging.NewID(), Exclusive: true, AutoDelete: true}
	}
	return messaging.QueueSpec{Name: src.Queue().Name()}
}

// Bind creates a topic's group, or gives one that exists further patterns:
// bindings add up until the group's queue is deleted, or the topic. The group's
// queue is [messaging.Source.Queue]; one that exists is used as it is.
func (b *Broker) Bind(ctx context.Context, from messaging.Source) error {
	if err := messaging.CheckBind(from); err != nil {
		return err
	}
	err := b.change(ctx, func() error {
		b.bind(b.declare(specOf(&from)), &from)
		return nil
	})
	if err != nil {
		return fmt.Errorf("bind group %s to %s: %w", from.Group, from.Address, err)
	}
	return nil
}

// bind binds q as src asks for, to a topic that is declared with it. It needs
// b.mu.
func (b *Broker) bind(q *queue, src *messaging.Source) {
	name := src.Address.Name()
	t := b.topics[name]
	if t == nil {
		t = newTopic(b, src.Address)
		b.topics[name] = t
	}
	for _, pattern := range bindingKeys(src) {
		if t.bindings.add(pattern, q) {
			q.bindings = append(q.bindings, binding{t, pattern})
		}
	}
}

// unbind takes q out of all topics. It needs b.mu.
func (q *queue) unbind() {
	for _, bound := range q.bindings {
		bound.t.bindings.remove(bound.pattern, q)
	}
	q.bindings = nil
}

func newTopic(b *Broker, a messaging.Address) *topic {
	t := &topic{b: b, address: a, delayed: byTime()}
	t.alarm.ring = t.route
	return t
}

// publish gives m to the queues that are bound for its key, each a copy of its
// own, or keeps it until its delay is over. The error is that of a queue that
// is full; the others have stored it all the same. It needs b.mu, for reading.
func (t *topic) publish(m *messaging.Message, match *matcher) error {
	if m.Delay > 0 {
		t.wait(t.b.newEntry(m))
		return nil
	}
	var full error
	for _, q := range match.match(&t.bindings, m.Key) {
		if err := q.store(t.b.newEntry(m)); err != nil {
			full = fmt.Errorf("%s: %w", q.address, err)
		}
	}
	return full
}

func (t *topic) wait(e *entry) {
	now := t.b.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.msg.TTL > 0 {
		e.deadline = now + e.msg.TTL
	}
	t.seqs++ // equal times come in the order in which they were published
	e.seq, e.at = t.seqs, now+e.msg.Delay
	t.delayed.add(e)
	t.alarm.set(e.at, now)
}

// route is called when the delay of some is over.
func (t *topic) route() {
	entries := t.takeDue()
	t.b.mu.RLock()
	var match matcher
	for _, e := range entries {
		t.release(e, &match)
	}
	t.b.mu.RUnlock()

	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = 0
	t.alarm.at = 0 // not before: one run at a time keeps the order
	t.b.idle.tell()
	if next := t.delayed.first(); next != nil && !t.deleted {
		t.alarm.set(next.at, t.b.now())
	}
}

func (t *topic) takeDue() []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.b.now()
	var entries []*entry
	for e := t.delayed.first(); e != nil && e.at <= now && len(entries) < timerBatch; e = t.delayed.first() {
		t.delayed.remove(e)
		entries = append(entries, e)
	}
	t.due = len(entries)
	return entries
}

// release routes e, whose delay is over. Nobody waits for its confirmation any
// more, so that a queue takes it that is full. It needs b.mu, for reading.
func (t *topic) release(e *entry, match *matcher) {
	if t.deleted || e.expired(t.b.now()) {
		return
	}
	for _, q := range match.match(&t.bindings, e.msg.Key) {
		c := t.b.newEntry(&e.msg)
		c.deadline = e.deadline
		q.admit(c)
	}
}

// delete drops what waits. It needs b.mu.
func (t *topic) delete() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deleted = true
	t.delayed.clear()
	t.alarm.stop()
	t.b.idle.tell()
}

// removeTopic deletes a topic. The queues that were bound to it stay. It needs
// b.mu.
func (b *Broker) removeTopic(t *topic) {
	delete(b.topics, t.address.Name())
	t.delete()
	for _, q := range b.queues {
		q.bindings = slices.DeleteFunc(q.bindings, func(bound binding) bool { return bound.t == t })
	}
}
