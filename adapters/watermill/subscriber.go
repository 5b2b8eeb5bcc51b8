package watermill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Subscriber offers a [messaging.Subscriber] to Watermill code.
type Subscriber struct {
	from   messaging.Subscriber
	source func(topic string) messaging.Source
	nack   error
	log    *slog.Logger

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // subscriptions

	mu sync.Mutex // orders enter and Close
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// SubscriberOption changes how [NewSubscriber] makes a Subscriber.
type SubscriberOption func(*Subscriber)

// WithSource sets what a Watermill topic is received from, and how: with which
// Concurrency, Prefetch, Retry, ShutdownTimeout. Defaults to the queue of that
// name, with the defaults of [messaging.Source]. With a topic and a group,
// subscribers of the same group share its messages:
//
//	watermill.WithSource(func(topic string) messaging.Source {
//		return messaging.Source{Address: messaging.Topic(topic), Group: "billing"}
//	})
func WithSource(f func(topic string) messaging.Source) SubscriberOption {
	return func(s *Subscriber) { s.source = f }
}

// WithNack sets the verdict that Nack is, see [messaging.Handler]. Defaults to
// messaging.Requeue(nil), which is what Nack means in Watermill: again at once,
// and for ever. With an ordinary error a message is tried again as
// Source.Retry says, and dead-lettered after Retry.MaxAttempts.
func WithNack(verdict error) SubscriberOption {
	return func(s *Subscriber) { s.nack = verdict }
}

// WithLog sets where subscriptions log that they did not end in order. Defaults
// to slog.Default().
func WithLog(log *slog.Logger) SubscriberOption {
	return func(s *Subscriber) { s.log = log }
}

// NewSubscriber lets Watermill code receive from s, most often a Broker.
//
// ID, Headers and Body of a delivery become a message's UUID, metadata and
// payload; the fields that are not empty become metadata under the Metadata
// constants. [DeliveryFromContext] has the rest.
func NewSubscriber(s messaging.Subscriber, opts ...SubscriberOption) *Subscriber {
	out := &Subscriber{
		from:   s,
		source: func(topic string) messaging.Source { return messaging.Source{Address: messaging.Queue(topic)} },
		nack:   messaging.Requeue(nil),
		log:    slog.Default(),
	}
	out.life, out.end = context.WithCancel(context.Background())
	for _, o := range opts {
		o(out)
	}
	return out
}

// Subscribe returns a channel of messages, once the subscription is active at
// the broker: what is published from then on arrives. While the broker is away
// it waits for it, until ctx ends.
//
// As many messages are out at once as Source.Concurrency says; by default the
// next comes after the Ack or Nack of the one before. Ack acknowledges; for
// Nack see [WithNack]. The context of a message has the values of ctx and ends
// with its Ack or Nack.
//
// When ctx ends, or with Close, messages that nobody has read are back in the
// queue at once. Those that were read may still be acknowledged: the channel
// is closed when all are, or after Source.ShutdownTimeout, when the contexts of
// those that are left end and they go back to the queue too.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if !s.enter() {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, messaging.ErrClosed)
	}
	src := s.source(topic)
	f := &feed{
		nack:  s.nack,
		out:   make(chan *message.Message),
		ready: make(chan struct{}),
		ended: make(chan struct{}),
	}
	var first sync.Once
	announce := src.Ready
	src.Ready = func() {
		first.Do(func() { close(f.ready) })
		if announce != nil {
			announce()
		}
	}
	go s.run(ctx, f, src)
	select {
	case <-f.ready:
		return f.out, nil
	case <-f.ended: // nil is that ctx has ended, and the channel is closed
		return f.out, f.err
	}
}

func (s *Subscriber) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.life.Err() == nil
	if open {
		s.running.Add(1)
	}
	return open
}

// run is one subscription, from its beginning to its end.
func (s *Subscriber) run(ctx context.Context, f *feed, src messaging.Source) {
	defer s.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	f.intake = ctx
	f.err = s.from.Subscribe(ctx, src, f.handle)
	f.handlers.Wait() // a Subscribe that gave up on them has ended their contexts
	close(f.out)
	close(f.ended)
	if f.err != nil {
		s.log.Warn("subscription ended", "from", src.Address, "error", f.err)
	}
}

// Close ends all subscriptions and waits until their channels are closed, see
// [Subscriber.Subscribe]. It returns nil: that a message was read and not
// acknowledged is no error in Watermill; it is logged, and the message is back
// in its queue. It does not close the Broker underneath: who opens closes.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// SubscribeInitialize makes sure that what is published to topic from now on
// is kept for its subscribers: it declares the queue, or binds the topic's
// group. A private subscription to a topic has nothing to keep. It takes at
// most [messaging.DefaultPublishTimeout]. The error wraps
// [errors.ErrUnsupported] where NewSubscriber was not given a
// [messaging.Manager].
func (s *Subscriber) SubscribeInitialize(topic string) error {
	if s.life.Err() != nil {
		return fmt.Errorf("initialize %s: %w", topic, messaging.ErrClosed)
	}
	m, ok := s.from.(messaging.Manager)
	if !ok {
		return fmt.Errorf("initialize %s: %T declares nothing: %w", topic, s.from, errors.ErrUnsupported)
	}
	ctx, cancel := context.WithTimeout(s.life, messaging.DefaultPublishTimeout)
	defer cancel()
	src := s.source(topic)
	if src.Address.IsTopic() {
		if src.Group == "" {
			return nil
		}
		return m.Bind(ctx, src)
	}
	err := m.Declare(ctx, messaging.QueueSpec{Name: src.Address.Name()})
	if errors.Is(err, messaging.ErrMismatch) {
		return nil // it exists, and is used as it is
	}
	return err
}

// feed hands the messages of one subscription to a channel.
type feed struct {
	nack     error
	intake   context.Context // ends when no message is handed out any more
	out      chan *message.Message
	ready    chan struct{} // closed when the subscription has become active
	ended    chan struct{} // closed when Subscribe has returned
	err      error         // of Subscribe, once ended
	handlers sync.WaitGroup
}

// handle hands a message over and waits for what becomes of it.
func (f *feed) handle(ctx context.Context, d *messaging.Delivery) error {
	f.handlers.Add(1)
	defer f.handlers.Done()
	m := toWatermill(&d.Message, metadata.Reserved)
	ctx, cancel := context.WithCancel(context.WithValue(ctx, deliveryKey{}, d))
	defer cancel()
	m.SetContext(ctx)
	select {
	case f.out <- m:
	case <-f.intake.Done():
		return messaging.Requeue(f.intake.Err())
	}
	select {
	case <-m.Acked():
		return nil
	case <-m.Nacked():
		return f.nack
	case <-ctx.Done(): // Source.ShutdownTimeout is over
		return messaging.Requeue(ctx.Err())
	}
}

type deliveryKey struct{}

// DeliveryFromContext returns, from the context of a message that a
// [Subscriber] has delivered, what a Watermill message has no place for: the
// Attempt, Redelivered, From, Time and TTL. It says whether there is any.
func DeliveryFromContext(ctx context.Context) (messaging.Delivery, bool) {
	d, ok := ctx.Value(deliveryKey{}).(*messaging.Delivery)
	if !ok {
		return messaging.Delivery{}, false
	}
	return *d, true
}
