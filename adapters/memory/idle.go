package memory

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// IdleOption is something that [Broker.WaitIdle] is to leave out of account.
type IdleOption func(*idleRules)

type idleRules struct {
	waiting bool // what waits for its time does not count
	queues  map[messaging.Address]bool
}

// IgnoreWaiting leaves out what is not to be delivered yet: delayed messages,
// and those that wait for their retry.
func IgnoreWaiting() IdleOption {
	return func(r *idleRules) { r.waiting = true }
}

// IgnoreQueues leaves out all that is in these queues, because nobody reads
// them in the test: where a service sends its results, for example.
func IgnoreQueues(queues ...messaging.Address) IdleOption {
	return func(r *idleRules) {
		for _, q := range queues {
			r.queues[q] = true
		}
	}
}

// WaitIdle waits until everything that was published is settled: no message is
// ready, held by a handler or a [messaging.Pending], or waits for its delay or
// its retry. A dead letter counts only where somebody subscribes to its queue.
// It is exact, for one moment: a message that a handler publishes before it
// returns, a retry and a dead letter on its way are never missed. A Publish that
// has not returned counts with what it has stored.
//
// When ctx ends first, the error says where messages were left.
func (b *Broker) WaitIdle(ctx context.Context, opts ...IdleOption) error {
	rules := idleRules{queues: map[messaging.Address]bool{}}
	for _, o := range opts {
		o(&rules)
	}
	look := b.idle.join()
	defer b.idle.leave(look)
	for {
		left, err := b.busy(rules)
		if err != nil {
			return fmt.Errorf("wait until idle: %w", err)
		}
		if left == "" {
			return nil
		}
		select {
		case <-look:
		case <-ctx.Done():
			return fmt.Errorf("wait until idle: %s: %w", left, ctx.Err())
		}
	}
}

// idlers are the calls of WaitIdle. Each is told when it may be worth looking
// again: when a queue has become idle, or what counts has changed.
type idlers struct {
	n     atomic.Int32 // how many there are, so that it costs nothing to have none
	mu    sync.Mutex   // comes last
	calls map[chan struct{}]struct{}
}

func (i *idlers) join() chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	look := make(chan struct{}, 1)
	if i.calls == nil {
		i.calls = map[chan struct{}]struct{}{}
	}
	i.calls[look] = struct{}{}
	i.n.Add(1)
	return look
}

func (i *idlers) leave(look chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.calls, look)
	i.n.Add(-1)
}

func (i *idlers) tell() {
	if i.n.Load() == 0 {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for look := range i.calls {
		select {
		case look <- struct{}{}:
		default: // has been told
		}
	}
}

// unlock ends what is done with q. Nothing in it changes but between this and
// q.mu.Lock, so that no moment is missed at which it becomes idle.
func (q *queue) unlock() {
	if q.b.idle.n.Load() > 0 && q.unsettled() == 0 && !q.anyOpen() {
		q.b.idle.tell()
	}
	woken := q.woken
	q.woken = nil
	q.mu.Unlock()
	if woken != nil {
		woken.workers.wake()
	}
}

// anyOpen says whether a message is ready that is no dead letter. It needs
// q.mu.
func (q *queue) anyOpen() bool {
	for e := range q.readyEntries() {
		if !e.dead {
			return true
		}
	}
	return false
}

// readyEntries are in no order. It needs q.mu.
func (q *queue) readyEntries() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, e := range q.returned.items {
			if !yield(e) {
				return
			}
		}
		for e := q.fifo.head; e != nil; e = e.next {
			if !yield(e) {
				return
			}
		}
	}
}

// busy says where there are messages that are not settled, "" for nowhere. With
// b.mu held for writing, nothing can be published or moved to another queue:
// what is not seen is nowhere.
func (b *Broker) busy(rules idleRules) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return "", messaging.ErrClosed
	}
	read := map[string]bool{}
	for s := range b.subs {
		read[s.spec.Name] = true
	}
	var left []string
	for name, q := range b.queues {
		if !rules.queues[q.address] {
			left = append(left, q.busy(rules, read[name])...)
		}
	}
	for _, t := range b.topics {
		left = append(left, t.busy(rules)...)
	}
	return strings.Join(left, ", "), nil
}

// busy says what keeps q from being idle. Acknowledgements that it does not
// know yet count as unsettled: it will know them before it is idle. It takes
// q.mu itself.
func (q *queue) busy(rules idleRules, read bool) []string {
	q.mu.Lock()
	defer q.mu.Unlock() // and not q.unlock: looking changes nothing
	ready := 0
	for e := range q.readyEntries() {
		if read || !e.dead {
			ready++
		}
	}
	waiting := rules.count(&q.waiting, q.b.now())
	if ready+q.unsettled()+waiting == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s has %d ready, %d unsettled, %d waiting", q.address, ready, q.unsettled(), waiting)}
}

// busy is as that of a queue.
func (t *topic) busy(rules idleRules) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.due + rules.count(&t.delayed, t.b.now())
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s has %d waiting", t.address, n)}
}

// count says how many of those that wait count. When the time of some has come,
// they do in any case.
func (r idleRules) count(waiting *entryHeap, now time.Duration) int {
	if first := waiting.first(); r.waiting && first != nil && first.at > now {
		return 0
	}
	return waiting.Len()
}
