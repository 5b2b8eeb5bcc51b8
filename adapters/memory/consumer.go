package memory

import "slices"

// consumer is a subscription's part in one queue. Its fields belong to the
// queue's mutex.
type consumer struct {
	sub      *subscription
	q        *queue
	credit   int  // how many more messages it may hold
	attached bool // gets messages
	inTurns  bool
	next     *consumer // in turns

	tray tray // belongs to the queue's mutex too
	desk desk
}

// All methods below need q.mu.

// attach lets c have messages.
func (q *queue) attach(c *consumer) {
	c.attached = true
	q.consumers = append(q.consumers, c)
	q.b.countAttached(1)
	q.offer(c)
	q.dispatch()
}

// detach gives c no more messages, and takes back those that it has not handed
// to a handler. They go to others, unmarked.
func (q *queue) detach(c *consumer) {
	i := slices.Index(q.consumers, c)
	if i < 0 {
		return
	}
	q.consumers = slices.Delete(q.consumers, i, i+1)
	q.leaveTurns(c)
	for _, e := range c.clear() {
		if q.take(e) {
			q.putBack(e)
			c.credit++
		}
	}
	if len(q.consumers) > 0 {
		q.offer(q.consumers[0]) // where only one is active, it is its turn now
	}
}

// loseConsumers ends what q and its consumers have to do with each other; their
// subscriptions are told why. It needs b.mu too.
func (q *queue) loseConsumers(why error) {
	for c := range q.members {
		q.collect(c)
	}
	if len(q.consumers) > 0 {
		q.b.lastErr = why
	}
	for _, c := range q.consumers {
		q.leaveTurns(c)
		c.clear() // its messages are dealt with by the caller
		c.sub.interrupt(why)
	}
	q.consumers = nil
	clear(q.members)
}

func (q *queue) leaveTurns(c *consumer) {
	c.attached = false
	q.turns.remove(c)
	q.b.countAttached(-1)
}

// countAttached adds n to the subscriptions that Health counts.
func (b *Broker) countAttached(n int64) {
	b.attached.Add(n)
	b.health.Notify()
}

// offer gives c its turn, once, where it can take a message.
func (q *queue) offer(c *consumer) {
	if !c.attached || c.inTurns || c.credit == 0 || q.spec.SingleActive && q.consumers[0] != c {
		return
	}
	q.turns.push(c)
}

// dispatch deals out what is ready to the consumers that can take it, in turn.
func (q *queue) dispatch() {
	for q.turns.head != nil {
		e := q.first()
		if e == nil {
			break
		}
		c := q.turns.pop()
		c.credit--
		q.offer(c)
		c.tray.add(q.handOut(e, c))
		q.wake(c.sub)
	}
	q.trim()
}

// handOut makes e, which is ready, held by c, or by a Get, which is nil.
func (q *queue) handOut(e *entry, c *consumer) *entry {
	q.drop(e)
	q.held.add(e)
	e.c = c
	return e
}

// take ends the hold on e. It says whether there was one: the connection may
// have been lost, or the queue deleted.
func (q *queue) take(e *entry) bool {
	if q.deleted || e.held == 0 {
		return false
	}
	q.held.remove(e)
	return true
}

// settled gives c, which may be nil, back the credit for one message.
func (q *queue) settled(c *consumer) {
	if c != nil {
		c.credit++
		q.offer(c)
	}
	q.dispatch()
}

// turns is the order in which consumers get messages: a linked list, in which
// each is at most once.
type turns struct{ head, tail *consumer }

func (t *turns) push(c *consumer) {
	c.inTurns = true
	if t.head == nil {
		t.head = c
	} else {
		t.tail.next = c
	}
	t.tail = c
}

func (t *turns) pop() *consumer {
	c := t.head
	t.head = c.next
	c.next, c.inTurns = nil, false
	return c
}

// remove looks through all of the consumers, which is fine when one leaves.
func (t *turns) remove(c *consumer) {
	all := *t
	*t = turns{}
	for all.head != nil {
		if other := all.pop(); other != c {
			t.push(other)
		}
	}
}
