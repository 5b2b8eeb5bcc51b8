package rabbitmq

import (
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// batch is what a caller hands to a lane's writer: some of its messages, in
// order. The lock makes the hand-over exact: a message is either withdrawn
// before its writing begins, or it counts as sent.
type batch struct {
	msgs  []outgoing
	index []int // which of msgs, in order

	session  *session      // where it is written; set before anything is
	wake     chan struct{} // gets a token when there is news for the caller
	finished chan struct{} // closed when the writer is done with it
	gone     chan struct{} // closed when the caller has withdrawn what was not begun

	mu        sync.Mutex
	started   int // messages whose writing has begun
	confirms  []*amqp.DeferredConfirmation
	withdrawn bool
	over      bool
}

func newBatch(msgs []outgoing, index []int) *batch {
	return &batch{
		msgs: msgs, index: index,
		wake:     make(chan struct{}, 1),
		finished: make(chan struct{}),
		gone:     make(chan struct{}),
		confirms: make([]*amqp.DeferredConfirmation, 0, len(index)),
	}
}

// begin says whether message k is to be written, on s.
func (b *batch) begin(k int, s *session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.withdrawn {
		return false
	}
	if k == 0 { // all of it goes over one session
		b.session = s
	}
	b.started = k + 1
	return true
}

// wrote notes the confirmation to wait for of the message that was begun.
func (b *batch) wrote(c *amqp.DeferredConfirmation) {
	b.mu.Lock()
	b.confirms = append(b.confirms, c)
	b.mu.Unlock()
}

// finish says that the writer is done with the batch.
func (b *batch) finish() {
	b.mu.Lock()
	b.over = true
	b.mu.Unlock()
	close(b.finished)
	b.tell()
}

// tell wakes the caller up.
func (b *batch) tell() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// written returns the confirmations to wait for so far, and whether there will
// be no more.
func (b *batch) written() ([]*amqp.DeferredConfirmation, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.confirms, b.over
}

// begun is how many messages may have reached the broker.
func (b *batch) begun() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.started
}

// withdraw takes back what is not being written yet. It returns the
// confirmations of what was written, and how many messages may have reached
// the broker. It is called once.
func (b *batch) withdraw() ([]*amqp.DeferredConfirmation, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.withdrawn = true
	close(b.gone)
	return b.confirms, b.started
}

// reap waits for messages that their caller no longer waits for, so that their
// permits are free again. Every confirmation ends with the connection at the
// latest.
func (b *batch) reap(open []int) {
	<-b.finished
	confirms, _ := b.written()
	for _, k := range open {
		if k < len(confirms) { // otherwise its writing failed
			<-confirms[k].Done()
			b.session.outcome(&b.msgs[b.index[k]], confirms[k])
			b.session.release()
		}
	}
}
