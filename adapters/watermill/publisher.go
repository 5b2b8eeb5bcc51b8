package watermill

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/delay"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Publisher offers a [messaging.Publisher] to Watermill code.
type Publisher struct {
	to      messaging.Publisher
	address func(topic string) messaging.Address

	mu     sync.Mutex // not held while publishing
	closed bool
	calls  sync.WaitGroup
}

var _ message.Publisher = (*Publisher)(nil)

// PublisherOption changes how [NewPublisher] makes a Publisher.
type PublisherOption func(*Publisher)

// WithAddress sets where messages of a Watermill topic go. Defaults to
// [messaging.Queue]; WithAddress(messaging.Topic) makes each topic a fan-out.
func WithAddress(f func(topic string) messaging.Address) PublisherOption {
	return func(p *Publisher) { p.address = f }
}

// NewPublisher lets Watermill code publish through p, most often a Broker.
//
// A message's UUID, metadata and payload become ID, Headers and Body. Metadata
// under a Metadata constant sets that field. What delay.Message noted
// (github.com/ThreeDotsLabs/watermill/components/delay) becomes the Delay.
func NewPublisher(p messaging.Publisher, opts ...PublisherOption) *Publisher {
	out := &Publisher{to: p, address: messaging.Queue}
	for _, o := range opts {
		o(out)
	}
	return out
}

// Publish sends messages in one call of the [messaging.Publisher], and keeps
// its promise: nil means that every message is stored. Otherwise the error is
// a [*messaging.PublishError] that names those that are not. A queue that does
// not exist is messaging.ErrUnroutable: subscribe to it first, or call
// [Subscriber.SubscribeInitialize].
//
// The call ends when the context of any of its messages ends, and uses the
// values of the first one's. After Close it returns messaging.ErrClosed.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if !p.enter() {
		return fmt.Errorf("publish to %s: %w", topic, messaging.ErrClosed)
	}
	defer p.calls.Done()
	if len(messages) == 0 {
		return nil
	}
	ctx, cancel := contextOf(messages)
	defer cancel()
	return p.to.Publish(ctx, p.address(topic), toSend(messages, time.Now())...)
}

// Close waits for the calls of Publish that are running, and refuses new ones.
// It does not close the Broker underneath: who opens closes.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.calls.Wait()
	return nil
}

func (p *Publisher) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.calls.Add(1)
	}
	return !p.closed
}

// contextOf is the context of the first message, and ends with that of any.
func contextOf(messages []*message.Message) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(messages[0].Context())
	stops := make([]func() bool, 0, len(messages))
	for _, m := range messages[1:] {
		stops = append(stops, context.AfterFunc(m.Context(), cancel))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

func toSend(messages []*message.Message, now time.Time) []*messaging.Message {
	out := make([]*messaging.Message, len(messages))
	for i, m := range messages {
		converted := fromWatermill(m, nothing)
		converted.Delay = delayOf(m, now)
		out[i] = &converted
	}
	return out
}

// delayOf reads what Watermill's delay component notes: for how long, exactly,
// and until when, in seconds. The second says whether the message has been
// delayed already, and is on its way to somewhere else by now.
func delayOf(m *message.Message, now time.Time) time.Duration {
	wait, err := time.ParseDuration(m.Metadata[delay.DelayedForKey])
	if err != nil {
		return 0
	}
	until, err := time.Parse(time.RFC3339, m.Metadata[delay.DelayedUntilKey])
	if err == nil && now.After(until.Add(time.Second)) {
		return 0
	}
	return max(wait, 0)
}
