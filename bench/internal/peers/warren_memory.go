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
	errs    []error
}

// WarrenMemory publishes so many messages a call.
func WarrenMemory(perCall int) OpenExchange {
	return func(ctx context.Context, load Load, handle func()) (Exchange, error) {
		x := &warrenExchange{
			broker: memory.New(), to: messaging.Queue("bench"), body: load.Body, perCall: perCall,
			errs: make([]error, load.Consumers),
		}
		if err := x.broker.Declare(ctx, messaging.QueueSpec{Name: x.to.Name()}); err != nil {
			return nil, err
		}
		ctx, x.stop = context.WithCancel(ctx)
		var ready sync.WaitGroup
		ready.Add(load.Consumers)
		for i := range load.Consumers {
			x.all.Go(func() { x.errs[i] = x.subscribe(ctx, ready.Done, handle) })
		}
		ready.Wait()
		return x, nil
	}
}

func (x *warrenExchange) subscribe(ctx context.Context, ready, handle func()) error {
	source := messaging.Source{Address: x.to, Ready: ready}
	return x.broker.Subscribe(ctx, source, func(context.Context, *messaging.Delivery) error {
		handle()
		return nil
	})
}

func (x *warrenExchange) Publish(ctx context.Context, _, n int) error {
	return warrenPublish(ctx, x.broker, x.to, x.body, n, x.perCall)
}

func (x *warrenExchange) Close() error {
	x.stop()
	x.all.Wait()
	return errors.Join(append(x.errs, x.broker.Close(context.Background()))...)
}
