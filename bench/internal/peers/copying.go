package peers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// copyingQueue is the mutexQueue with the copies that warren's rules ask for,
// and nothing else of a broker: a publisher may use its message again at once,
// and a handler may keep and change what it gets.
type copyingQueue struct {
	mutexQueue[messaging.Message]
	spares [][]byte // bodies of messages that were handled; belongs to the mutex
}

func newCopyingQueue(consumers int, handle func()) *copyingQueue {
	q := &copyingQueue{}
	q.handled = func(taken []messaging.Message) {
		for i := range taken {
			q.spares = append(q.spares, taken[i].Body)
		}
	}
	count := counting(handle)
	q.start(consumers, func(m *messaging.Message) {
		d := &messaging.Delivery{Message: *m, Attempt: 1}
		d.Body = slices.Clone(m.Body)
		_ = count(context.Background(), d) // never fails
	})
	return q
}

func (q *copyingQueue) publish(body []byte) {
	q.add(messaging.Message{ID: messaging.NewID(), Time: time.Now(), Body: append(q.spare(), body...)})
}

func (q *copyingQueue) spare() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := len(q.spares) - 1
	if last < 0 {
		return nil
	}
	body := q.spares[last]
	q.spares = q.spares[:last]
	return body[:0]
}

// copyingQueues is an Exchange of one or more of them.
type copyingQueues struct {
	queues []*copyingQueue
	body   []byte
}

// CopyingQueue is the limit of a broker that keeps warren's rules.
func CopyingQueue(_ context.Context, load Load, handle func()) (Exchange, error) {
	return &copyingQueues{[]*copyingQueue{newCopyingQueue(load.Consumers, handle)}, load.Body}, nil
}

// CopyingQueues has so many queues, with a consumer of each.
func CopyingQueues(queues int) OpenExchange {
	return func(_ context.Context, load Load, handle func()) (Exchange, error) {
		x := &copyingQueues{body: load.Body}
		for range queues {
			x.queues = append(x.queues, newCopyingQueue(1, handle))
		}
		return x, nil
	}
}

func (x *copyingQueues) Publish(_ context.Context, publisher, n int) error {
	for i := range n {
		turn(x.queues, publisher, i).publish(x.body)
	}
	return nil
}

func (x *copyingQueues) Close() error {
	var errs []error
	for _, q := range x.queues {
		errs = append(errs, q.Close())
	}
	return errors.Join(errs...)
}
