package peers

import (
	"context"
	"sync"
)

// channel is a Go channel and nothing else: what the language itself can do.
type channel struct {
	bodies  chan []byte
	body    []byte
	waiting sync.WaitGroup
}

// Channel is a buffered Go channel.
func Channel(_ context.Context, load Load, handle func()) (Exchange, error) {
	x := &channel{bodies: make(chan []byte, 1024), body: load.Body}
	for range load.Consumers {
		x.waiting.Go(func() {
			for range x.bodies {
				handle()
			}
		})
	}
	return x, nil
}

func (x *channel) Publish(_ context.Context, _, n int) error {
	for range n {
		x.bodies <- x.body
	}
	return nil
}

func (x *channel) Close() error {
	close(x.bodies)
	x.waiting.Wait()
	return nil
}
