package rabbitmq

import (
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ackDelay is how long an acknowledgement may wait for others to share a frame
// with.
const ackDelay = 3 * time.Millisecond

// acker settles the deliveries of one channel. Whoever settles does not wait
// for the network: one goroutine writes.
type acker struct {
	ch   *amqp.Channel
	most int // acknowledgements that may wait together

	late   *time.Timer   // what waits has waited for long enough
	urgent chan struct{} // it waits no longer

	writing sync.Mutex // held around take and write, which must not be overtaken by another; before mu
	mu      sync.Mutex
	acks    coalescer
	backs   []back
}

// back is a delivery that returns to its queue.
type back struct {
	tag    uint64
	failed bool // it counts as a failure, for queues that count
}

func newAcker(ch *amqp.Channel, prefetch int) *acker {
	a := &acker{ch: ch, most: max(1, prefetch/2), late: time.NewTimer(ackDelay), urgent: make(chan struct{}, 1)}
	a.late.Stop()
	return a
}

// ack acknowledges.
func (a *acker) ack(tag uint64) {
	a.mu.Lock()
	waiting := a.acks.settle(tag, true)
	a.mu.Unlock()
	switch {
	case waiting >= a.most:
		signal(a.urgent)
	case waiting == 1:
		a.late.Reset(ackDelay)
	}
}

// ackNow acknowledges, and has written it when it returns.
func (a *acker) ackNow(tag uint64) {
	a.mu.Lock()
	a.acks.settle(tag, true)
	a.mu.Unlock()
	a.write()
}

// requeue puts a delivery back: with nack for one that was not handled, with
// reject for one that failed. From RabbitMQ 4.3 on, quorum queues count only
// the latter towards their delivery limit.
func (a *acker) requeue(tag uint64, failed bool) {
	a.mu.Lock()
	a.acks.settle(tag, false)
	a.backs = append(a.backs, back{tag, failed})
	a.mu.Unlock()
	signal(a.urgent)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes what waits until end is closed, and once more then.
func (a *acker) run(end <-chan struct{}) {
	for {
		select {
		case <-a.late.C:
			a.write()
		case <-a.urgent:
			a.write()
		case <-end:
			a.late.Stop()
			a.write()
			return
		}
	}
}

// write settles at the broker what waits. What goes back goes first: an
// acknowledgement of everything up to a tag would settle it too. Errors mean
// that the channel is gone; then the broker delivers again what it did not
// hear about.
func (a *acker) write() {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.Lock()
	upTo, others := a.acks.take()
	backs := a.backs
	a.backs = nil
	a.mu.Unlock()

	for _, b := range backs {
		if b.failed {
			_ = a.ch.Reject(b.tag, true)
		} else {
			_ = a.ch.Nack(b.tag, false, true)
		}
	}
	if upTo > 0 {
		_ = a.ch.Ack(upTo, true)
	}
	for _, tag := range others {
		_ = a.ch.Ack(tag, false)
	}
}
