package watermill_test

import (
	"context"
	"errors"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// fakePubSub is a queue that hands out one message at a time, and whatever a
// test needs.
type fakePubSub struct {
	publish func(topic string, m *message.Message) error // nil: store
	queue   chan *message.Message

	mu         sync.Mutex
	closed     int
	subscribed int
	refuse     int // subscriptions to refuse
	end        context.CancelFunc
}

func newFake() *fakePubSub { return &fakePubSub{queue: make(chan *message.Message, 100)} }

func (f *fakePubSub) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		if f.publish != nil {
			if err := f.publish(topic, m); err != nil {
				return err
			}
			continue
		}
		f.queue <- m.Copy()
	}
	return nil
}

func (f *fakePubSub) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subscribed++
	if f.refuse > 0 {
		f.refuse--
		return nil, errors.New("not now")
	}
	ctx, f.end = context.WithCancel(ctx)
	out := make(chan *message.Message)
	go f.deliver(ctx, out)
	return out, nil
}

// deliver behaves like watermill-amqp: it does not end while a message waits
// to be read.
func (f *fakePubSub) deliver(ctx context.Context, out chan<- *message.Message) {
	defer close(out)
	for {
		select {
		case m := <-f.queue:
			out <- m
			select {
			case <-m.Acked():
			case <-m.Nacked():
				f.queue <- m.Copy()
			}
		case <-ctx.Done():
			return
		}
	}
}

func (f *fakePubSub) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}
