package peers

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// waitingExchange is the memory broker with a long queue. For each message
// that is published the oldest is handled, so that the queue keeps its length.
type waitingExchange struct {
	*warrenExchange
	published chan struct{} // closed when publishing begins
	left      atomic.Int64  // to handle
	enough    chan struct{} // closed when no more are to be handled
}

// errEnough gives back what is not to be handled.
var errEnough = messaging.Requeue(errors.New("enough"))

// WarrenWaiting is for one publisher and one consumer; so many messages wait
// when it starts.
func WarrenWaiting(waiting int) OpenExchange {
	return func(ctx context.Context, load Load, handle func()) (Exchange, error) {
		x := &waitingExchange{published: make(chan struct{}), enough: make(chan struct{})}
		base, err := newWarrenExchange(ctx, load, 1)
		if err != nil {
			return nil, err
		}
		x.warrenExchange = base
		if err := warrenPublish(ctx, x.broker, x.to, x.body, waiting, 1000); err != nil {
			return nil, errors.Join(err, x.Close())
		}
		runtime.GC() // what publishing left behind is not the round's
		x.consume(ctx, load.Consumers, func(context.Context, *messaging.Delivery) error {
			<-x.published
			if x.left.Add(-1) < 0 {
				<-x.enough
				return errEnough
			}
			handle()
			return nil
		})
		return x, nil
	}
}

func (x *waitingExchange) Publish(ctx context.Context, publisher, n int) error {
	x.left.Store(int64(n))
	close(x.published)
	return x.warrenExchange.Publish(ctx, publisher, n)
}

func (x *waitingExchange) Close() error {
	close(x.enough)
	return x.warrenExchange.Close()
}

// WaitingBytes is how much of the heap each of n messages takes that wait in
// the memory broker.
func WaitingBytes(ctx context.Context, n int, body []byte) (float64, error) {
	broker := memory.New()
	to := messaging.Queue("bench")
	before := heap()
	err := broker.Declare(ctx, messaging.QueueSpec{Name: to.Name()})
	if err == nil {
		err = warrenPublish(ctx, broker, to, body, n, 1000)
	}
	after := heap()
	return float64(after-before) / float64(n), errors.Join(err, broker.Close(ctx))
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
