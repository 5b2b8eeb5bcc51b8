package peers

import (
	"context"
	"errors"
	"sync"
	"time"

	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"
)

type memPubSub struct {
	topic        *pubsub.Topic
	subscription *pubsub.Subscription
	body         []byte
	stop         context.CancelFunc
	all          sync.WaitGroup
	errs         []error
}

// MemPubSub is gocloud.dev's pubsub in memory.
func MemPubSub(ctx context.Context, load Load, handle func()) (Exchange, error) {
	topic := mempubsub.NewTopic()
	x := &memPubSub{
		topic: topic, subscription: mempubsub.NewSubscription(topic, time.Minute), body: load.Body,
		errs: make([]error, load.Consumers),
	}
	ctx, x.stop = context.WithCancel(ctx)
	for i := range load.Consumers {
		x.all.Go(func() { x.errs[i] = receive(ctx, x.subscription, func([]byte) { handle() }) })
	}
	return x, nil
}

// Publish sends one value again and again, which Send does not keep.
func (x *memPubSub) Publish(ctx context.Context, _, n int) error {
	m := &pubsub.Message{Body: x.body}
	for range n {
		if err := x.topic.Send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (x *memPubSub) Close() error {
	x.stop()
	x.all.Wait()
	ctx := context.Background()
	return errors.Join(append(x.errs, x.topic.Shutdown(ctx), x.subscription.Shutdown(ctx))...)
}
