package peers

import (
	"context"
	"errors"
	"sync"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// warrenExchange is the memory broker with competing subscriptions.
type warrenExchange struct {
	broker  *memory.Broker
	to      messaging.Address
	body    []byte
	perCall int
	stop    context.CancelFunc
	all     sync.WaitGroup
	mu      sync.Mutex // guards err
	err     error
}

// newWarrenExchange has the queue, and no consumer yet.
func newWarrenExchange(ctx context.Context, load Load, perCall int) (*warrenExchange, error) {
	x := &warrenExchange{
		broker: memory.New(), to: messaging.Queue("bench"), body: load.Body, perCall: perCall,
		stop: func() {},
	}
	return x, x.broker.Declare(ctx, messaging.QueueSpec{Name: x.to.Name()})
}

// WarrenMemory publishes so many messages a call.
func WarrenMemory(perCall int) OpenExchange {
	return func(ctx context.Context, load Load, handle func()) (Exchange, error) {
		x, err := newWarrenExchange(ctx, load, perCall)
		if err != nil {
			return nil, err
		}
		x.consume(ctx, load.Consumers, counting(handle))
		return x, nil
	}
}

func counting(handle func()) messaging.Handler {
	return func(context.Context, *messaging.Delivery) error {
		handle()
		return nil
	}
}

// consume starts so many subscriptions of the queue, and waits until they are
// active.
func (x *warrenExchange) consume(ctx context.Context, consumers int, h messaging.Handler) {
	from := make([]messaging.Address, consumers)
	for i := range from {
		from[i] = x.to
	}
	x.consumeAll(ctx, from, h)
}

// consumeAll starts a subscription of each of the queues.
func (x *warrenExchange) consumeAll(ctx context.Context, from []messaging.Address, h messaging.Handler) {
	ctx, x.stop = context.WithCancel(ctx)
	var ready sync.WaitGroup
	ready.Add(len(from))
	for _, a := range from {
		x.all.Go(func() {
			x.keep(x.broker.Subscribe(ctx, messaging.Source{Address: a, Prefetch: Prefetch, Ready: ready.Done}, h))
		})
	}
	ready.Wait()
}

func (x *warrenExchange) keep(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = errors.Join(x.err, err)
}

func (x *warrenExchange) Publish(ctx context.Context, _, n int) error {
	return warrenPublish(ctx, x.broker, x.to, x.body, n, x.perCall)
}

func (x *warrenExchange) Close() error {
	x.stop()
	x.all.Wait()
	return errors.Join(x.err, x.broker.Close(context.Background()))
}
