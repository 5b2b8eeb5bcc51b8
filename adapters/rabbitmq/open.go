package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"

	"github.com/warrenmq/warren/pkg/messaging"
)

func init() {
	for _, scheme := range []string{"amqp", "amqps"} {
		messaging.Register(scheme, func(ctx context.Context, u *url.URL) (messaging.Broker, error) {
			b, err := openURL(ctx, u)
			if err != nil {
				return nil, err // not b: a nil *Broker in an interface is not nil
			}
			return b, nil
		})
	}
}

// Option is something that a URL cannot say.
type Option func(*config)

// WithLogger sets where trouble with connections and subscriptions is logged,
// once for each event. Defaults to slog.Default().
func WithLogger(log *slog.Logger) Option { return func(c *config) { c.log = log } }

// WithMarshaler sets how messages become AMQP. Defaults to [Marshaler], which
// Watermill's own DefaultMarshaler understands, and which understands it.
func WithMarshaler(m wamqp.Marshaler) Option { return func(c *config) { c.marshaler = m } }

// WithTopologyBuilder sets what declares queues. Defaults to watermill-amqp's
// DefaultTopologyBuilder.
func WithTopologyBuilder(b wamqp.TopologyBuilder) Option { return func(c *config) { c.topology = b } }

// WithTLSConfig sets the TLS configuration of an amqps URL. The files that the
// URL names are added to it, and where it has no ServerName, the host's name
// is used. Defaults to the system's certificates and TLS 1.2 or better.
func WithTLSConfig(conf *tls.Config) Option { return func(c *config) { c.tls = conf } }

// Open connects to RabbitMQ. The package's documentation lists what the URL
// may say.
//
// It keeps trying for connect_timeout, or until ctx ends, where that can help:
// a broker that is just starting, a host whose name is not known yet. A bad
// URL is an error at once, and so are a wrong password, a virtual host that does
// not exist and a certificate that does not fit, where no other host of the URL
// may do better. The error names each host and what it answered, and never the
// password.
func Open(ctx context.Context, url string, opts ...Option) (*Broker, error) {
	u, err := messaging.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("open RabbitMQ: %w", err)
	}
	b, err := openURL(ctx, u, opts...)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func openURL(ctx context.Context, u *url.URL, opts ...Option) (*Broker, error) {
	c, err := newConfig(u, opts)
	if err != nil {
		return nil, fmt.Errorf("open RabbitMQ: %w: %w", messaging.ErrURL, err)
	}
	g, err := firstConnection(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open RabbitMQ: %w", err)
	}
	return newBroker(c, g), nil
}

func newConfig(u *url.URL, opts []Option) (*config, error) {
	c, err := parseConfig(u)
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o(&c)
	}
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.secure {
		if c.tls, err = c.files.tlsConfig(c.tls); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// firstConnection tries for as long as Open may. When the time is up while an
// attempt runs, what the attempt before it found says more.
func firstConnection(ctx context.Context, c *config) (*generation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.connectTimeout, &errPatience{"gave up after", c.connectTimeout, "connect_timeout"})
	defer cancel()
	var last error
	for attempt := 0; ; attempt++ {
		g, err := dialAny(ctx, c, rolePublish)
		if err == nil {
			return g, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		var failed *hostsError
		if errors.As(err, &failed) && !failed.passing {
			return nil, err
		}
		if !pause(ctx, backoff(attempt, reconnectFirst, time.Second)) {
			return nil, fmt.Errorf("%w: %w", endOf(ctx), last)
		}
	}
}
