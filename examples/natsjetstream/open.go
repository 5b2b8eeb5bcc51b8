package natsjetstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/warrenmq/warren/pkg/messaging"
)

func init() {
	messaging.Register("nats", func(ctx context.Context, u *url.URL) (messaging.Broker, error) {
		b, err := open(ctx, u)
		if err != nil {
			return nil, err // not b: a nil *Broker in an interface is not nil
		}
		return b, nil
	})
}

// Open connects to NATS; the package's documentation says what the URL may
// have. opts are of nats.go, for what cannot be said in a URL, such as TLS.
func Open(ctx context.Context, rawURL string, opts ...nats.Option) (*Broker, error) {
	u, err := messaging.ParseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open NATS: %w", err)
	}
	return open(ctx, u, opts...)
}

func open(ctx context.Context, u *url.URL, opts ...nats.Option) (*Broker, error) {
	ackWait, err := parameters(u)
	if err != nil {
		return nil, fmt.Errorf("open NATS: %w: %w", messaging.ErrURL, err)
	}
	b := newBroker(ackWait)
	if err := b.connect(ctx, u, opts); err != nil {
		return nil, fmt.Errorf("open NATS at %s: %w", u.Host, err)
	}
	return b, nil
}

// The lease of a message, see [parameters].
const (
	defaultAckWait = 30 * time.Second
	minAckWait     = time.Second
)

// parameters reads the URL's query: ack_wait is how long a message stays with
// a program that has died, before another gets it. It is the queue's, so all
// programs should say the same.
func parameters(u *url.URL) (ackWait time.Duration, err error) {
	switch {
	case u.Host == "":
		return 0, errors.New("the host is missing; it must look like nats://host:4222")
	case strings.Trim(u.Path, "/") != "":
		return 0, errors.New("nothing may follow the hosts but parameters")
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return 0, errors.New("the parameters after ? are not percent-encoded")
	}
	ackWait = defaultAckWait
	for name := range values {
		if name != "ack_wait" {
			return 0, fmt.Errorf("unknown parameter %q; known is ack_wait", name)
		}
		if ackWait, err = time.ParseDuration(values.Get(name)); err != nil || ackWait < minAckWait {
			return 0, fmt.Errorf("parameter ack_wait is %q; it must be a duration of 1s or more", values.Get(name))
		}
	}
	return ackWait, nil
}

// pingInterval is how often the connection shows that it lives. Two pings
// without an answer, and it is lost.
const pingInterval = 5 * time.Second

// connect opens the one connection that a Broker has. nats.go keeps it up from
// then on.
func (b *Broker) connect(ctx context.Context, u *url.URL, opts []nats.Option) error {
	var hosts []string
	for host := range strings.SplitSeq(u.Host, ",") {
		hosts = append(hosts, "nats://"+host)
	}
	all := []nats.Option{
		nats.Name("warren"),
		nats.MaxReconnects(-1), // the contract: for ever
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectBufSize(-1), // Publish waits by itself, and says so when its ctx ends
		nats.PingInterval(pingInterval),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected(err) }),
		nats.ReconnectHandler(func(*nats.Conn) { b.reconnected() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.note(err) }),
	}
	if u.User != nil { // an option, so that no error shows it
		password, _ := u.User.Password()
		all = append(all, nats.UserInfo(u.User.Username(), password))
	}
	if deadline, ok := ctx.Deadline(); ok {
		all = append(all, nats.Timeout(min(time.Until(deadline), nats.DefaultTimeout))) // of reconnecting too
	}
	nc, err := nats.Connect(strings.Join(hosts, ","), append(all, opts...)...)
	if err != nil {
		return err
	}
	b.nc = nc
	if b.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1<<20), jetstream.WithPublishAsyncTimeout(ackTimeout)); err == nil {
		err = b.begin(ctx)
	}
	if err != nil {
		b.end()
		nc.Close()
	}
	return err
}

// begin declares what all queues share, and starts what the Broker does by
// itself.
func (b *Broker) begin(ctx context.Context) error {
	for _, cfg := range []jetstream.StreamConfig{
		{Name: topicsStream, Subjects: []string{"warren.t.>", "warren.g.>"}, Retention: jetstream.InterestPolicy},
		{Name: holdStream, Subjects: []string{holdSubject}, Retention: jetstream.WorkQueuePolicy},
	} {
		if _, err := b.js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("declare the stream %s: %w", cfg.Name, err)
		}
	}
	b.own.Go(b.moveOn)
	b.own.Go(b.renewLeases)
	return nil
}
