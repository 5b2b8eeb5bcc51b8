package watermill

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/warrenmq/warren/pkg/messaging"
)

// BrokerOption says what [NewBroker] cannot find out about a Pub/Sub.
type BrokerOption func(*settings)

type settings struct {
	topic     func(messaging.Address) (string, error)
	competing bool
	delays    bool
	manager   messaging.Manager
	log       *slog.Logger
}

func newSettings(opts []BrokerOption) settings {
	s := settings{topic: queueName, log: slog.Default()}
	for _, o := range opts {
		o(&s)
	}
	return s
}

// queueName is the default of WithTopic.
func queueName(a messaging.Address) (string, error) {
	if !a.IsQueue() {
		return "", fmt.Errorf("%s: only queues have a Watermill topic, unless WithTopic says otherwise: %w", a, errors.ErrUnsupported)
	}
	return a.Name(), nil
}

// WithTopic sets which Watermill topic an address is. Defaults to the name of
// a queue; a topic is then [errors.ErrUnsupported].
func WithTopic(f func(messaging.Address) (string, error)) BrokerOption {
	return func(s *settings) { s.topic = f }
}

// WithCompeting says that two subscriptions to one Watermill topic share its
// messages, as consumers of a queue do. Most Pub/Subs hand out one message at
// a time in each subscription, so as many are opened as Source.Concurrency
// says (one with Source.OrderBy). Defaults to one subscription, since where
// each gets its own copy, more would handle every message more than once.
func WithCompeting() BrokerOption {
	return func(s *settings) { s.competing = true }
}

// WithDelays says that the Pub/Sub heeds what Watermill's component delay notes
// in metadata: Message.Delay and the waits of retries are then left to it.
// Defaults to no delays: Message.Delay is [errors.ErrUnsupported], and what
// waits for a retry is held by the subscription, unacknowledged.
func WithDelays() BrokerOption {
	return func(s *settings) { s.delays = true }
}

// WithManager sets what looks after queues. Defaults to none: Declare can do
// no more than the Watermill Subscriber's SubscribeInitialize, and Bind,
// Inspect, Purge and Delete are [errors.ErrUnsupported].
func WithManager(m messaging.Manager) BrokerOption {
	return func(s *settings) { s.manager = m }
}

// WithLogger sets where subscriptions log their troubles, panics and dead
// letters. Defaults to slog.Default().
func WithLogger(log *slog.Logger) BrokerOption {
	return func(s *settings) { s.log = log }
}
