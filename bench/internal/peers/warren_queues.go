package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/pkg/messaging"
)

// queuesExchange is the memory broker with many queues, and a subscription of
// each. Publishers go round all of them.
type queuesExchange struct {
	*warrenExchange
	queues []messaging.Address
}

// WarrenQueues has so many queues, whatever the load's consumers.
func WarrenQueues(queues int) OpenExchange {
	return func(ctx context.Context, load Load, handle func()) (Exchange, error) {
		base, err := newWarrenExchange(ctx, load, 1)
		if err != nil {
			return nil, err
		}
		x := &queuesExchange{warrenExchange: base}
		for i := range queues {
			queue := messaging.Queue(fmt.Sprint("bench-", i))
			if err := x.broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
				return nil, errors.Join(err, x.Close())
			}
			x.queues = append(x.queues, queue)
		}
		x.consumeAll(ctx, x.queues, counting(handle))
		return x, nil
	}
}

func (x *queuesExchange) Publish(ctx context.Context, publisher, n int) error {
	m := &messaging.Message{}
	for i := range n {
		*m = messaging.Message{Body: x.body}
		if err := x.broker.Publish(ctx, turn(x.queues, publisher, i), m); err != nil {
			return err
		}
	}
	return nil
}

// turn is which queue's it is at message i of a publisher. Four publishers start
// apart.
func turn[Q any](queues []Q, publisher, i int) Q {
	return queues[(i+publisher*len(queues)/4)%len(queues)]
}
