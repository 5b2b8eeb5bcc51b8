package memory

import (
	"log/slog"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// DefaultMaxMessageSize is the size limit of a message's body in bytes: 16 MiB,
// as on RabbitMQ 4.
const DefaultMaxMessageSize = 16 << 20

// Option changes how [New] makes a Broker.
type Option func(*settings)

type settings struct {
	maxMessageSize int
	publishTimeout time.Duration
	logger         *slog.Logger
	recording      *recording // nil is off
}

func newSettings(opts []Option) settings {
	s := settings{
		maxMessageSize: DefaultMaxMessageSize,
		publishTimeout: messaging.DefaultPublishTimeout,
	}
	for _, o := range opts {
		o(&s)
	}
	return s
}

// WithMaxMessageSize limits the body of a message, in bytes: Publish refuses a
// larger one with ErrTooLarge. 0 or less leaves the default,
// [DefaultMaxMessageSize].
func WithMaxMessageSize(bytes int) Option {
	return func(s *settings) {
		if bytes > 0 {
			s.maxMessageSize = bytes
		}
	}
}

// WithPublishTimeout limits how long a call waits for a broker that is
// disconnected or blocked, where its context has no deadline. 0 or less leaves
// the default, [messaging.DefaultPublishTimeout].
func WithPublishTimeout(d time.Duration) Option {
	return func(s *settings) {
		if d > 0 {
			s.publishTimeout = d
		}
	}
}

// WithLogger sets where subscriptions log their troubles, panics and dead
// letters. nil leaves the default, [slog.Default] at the time of the log line.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) { s.logger = l }
}

func (s settings) log() *slog.Logger {
	if s.logger != nil {
		return s.logger
	}
	return slog.Default()
}
