package peers

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

type goChannel struct {
	pubsub  *gochannel.GoChannel
	body    []byte
	perCall int
	all     sync.WaitGroup
}

// GoChannel is Watermill's Pub/Sub in memory. Its consumers do not compete:
// each gets every message, so it can have one only.
func GoChannel(perCall int) OpenExchange {
	return func(ctx context.Context, load Load, handle func()) (Exchange, error) {
		x := &goChannel{
			pubsub: gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 1000}, watermill.NopLogger{}),
			body:   load.Body, perCall: perCall,
		}
		for range load.Consumers {
			messages, err := x.pubsub.Subscribe(ctx, "bench")
			if err != nil {
				return nil, err
			}
			x.all.Go(func() {
				for m := range messages {
					handle()
					m.Ack()
				}
			})
		}
		return x, nil
	}
}

func (x *goChannel) Publish(_ context.Context, _, n int) error {
	return watermillPublish(x.pubsub, "bench", x.body, n, x.perCall)
}

func (x *goChannel) Close() error {
	err := x.pubsub.Close()
	x.all.Wait()
	return err
}
