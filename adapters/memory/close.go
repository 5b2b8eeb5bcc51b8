package memory

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// cutGrace is how much longer than its context Close waits at most, for handlers
// that return when their own context is cancelled. Subscribe gives up before.
const cutGrace = 100 * time.Millisecond

// Close ends all subscriptions, which return ErrClosed, and waits for them
// until ctx ends; then their handlers' contexts are cancelled, and Close
// returns at most 100 ms later. The error says how many subscriptions had
// handlers that did not finish, then or within their ShutdownTimeout. Running
// handlers may publish until then. Whoever waits in a call gets ErrClosed at
// once. All messages are gone. A second Close waits for the first, and returns
// the same.
func (b *Broker) Close(ctx context.Context) error {
	b.beginClose()
	b.drain(ctx)
	return b.endClose(ctx)
}

func (b *Broker) beginClose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return
	}
	b.closing = true
	b.since = time.Now()
	b.notify()
	for s := range b.subs {
		s.cancel(messaging.ErrClosed)
	}
	if len(b.subs) == 0 {
		close(b.drained)
	}
}

// drain waits for the subscriptions, until ctx ends and not much longer.
func (b *Broker) drain(ctx context.Context) {
	select {
	case <-b.drained:
		return
	case <-ctx.Done():
	}
	b.cutOnce.Do(func() { close(b.cut) })
	grace := time.NewTimer(cutGrace)
	defer grace.Stop()
	select {
	case <-b.drained:
	case <-grace.C:
	}
}

func (b *Broker) endClose(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.closeErr
	}
	b.closed = true
	for _, q := range b.queues {
		b.remove(q)
	}
	for _, t := range b.topics {
		b.removeTopic(t)
	}
	if n := len(b.subs) + b.unfinished; n > 0 {
		b.closeErr = fmt.Errorf("close: %d subscriptions had to be cut off: %w", n, cmp.Or(ctx.Err(), context.DeadlineExceeded))
	}
	return b.closeErr
}

// join counts s in. It says no once the broker is closing.
func (b *Broker) join(s *subscription) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.subs[s] = struct{}{}
	return true
}

// leave counts s out. A queue that is AutoDelete goes with the last of them.
func (b *Broker) leave(s *subscription, unfinished bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, s)
	if len(b.subs) == 0 {
		b.stock.rest()
	}
	if b.closing && unfinished {
		b.unfinished++
	}
	if b.closing && len(b.subs) == 0 {
		close(b.drained)
	}
	b.idle.tell() // dead letters that it was to read do not count any more
	if s.consumer == nil {
		return
	}
	if q := s.consumer.q; q.resign(s.consumer) {
		b.remove(q)
	}
}

// resign ends c's membership. It says whether q is to be deleted for it. It
// takes q.mu itself.
func (q *queue) resign(c *consumer) bool {
	q.mu.Lock()
	defer q.unlock()
	q.collect(c)
	_, member := q.members[c]
	delete(q.members, c)
	return member && len(q.members) == 0 && q.spec.AutoDelete && !q.deleted
}
