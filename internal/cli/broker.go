package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// closeTimeout is how long a broker may take to close. All work is done by
// then, so that it is only the goodbye of the connections.
const closeTimeout = 5 * time.Second

// InMemory says whether a URL names the broker inside this process.
func InMemory(url string) bool {
	scheme, _, _ := strings.Cut(url, "://")
	return strings.EqualFold(scheme, "memory")
}

// NotInMemory refuses memory:// for a program that would be alone with it.
func NotInMemory(url string) error {
	if InMemory(url) {
		return Usagef("--url (MESSAGING_URL) is memory://, whose messages stay in their own process, where no other program finds them: " +
			"run hello (go run ./apps/hello) for producer and workers in one process, or give the URL of a RabbitMQ, amqp://...")
	}
	return nil
}

// WithBroker opens the broker, which may take as long as timeout, lets f use
// it, and closes it.
func WithBroker(ctx context.Context, url string, timeout time.Duration, f func(messaging.Broker) error) error {
	broker, err := open(ctx, url, timeout)
	if err != nil {
		return err
	}
	err = f(broker)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if closeErr := broker.Close(ctx); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", closeErr))
	}
	return err
}

// open opens the broker. What cannot be opened because of the URL is a usage
// error; a broker that does not answer is none.
func open(ctx context.Context, url string, timeout time.Duration) (messaging.Broker, error) {
	if u, err := messaging.ParseURL(url); err == nil && !slices.Contains(messaging.Schemes(), u.Scheme) {
		return nil, Usagef("--url (MESSAGING_URL) begins with %s://; this program knows %s",
			u.Scheme, strings.Join(messaging.Schemes(), ":// and ")+"://")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	broker, err := messaging.Open(ctx, url)
	if errors.Is(err, messaging.ErrURL) {
		return nil, Usagef("--url (MESSAGING_URL): %w", err)
	}
	return broker, err
}
