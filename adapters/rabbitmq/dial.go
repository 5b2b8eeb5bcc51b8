package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// dialAny tries each host in turn and returns the first connection. The error
// is a *hostsError.
func dialAny(ctx context.Context, c *config, role string) (*generation, error) {
	failed := &hostsError{}
	for i, host := range c.hosts {
		attempt, cancel := context.WithTimeout(ctx, share(ctx, c.connectTimeout, len(c.hosts)-i))
		g, err := dial(attempt, c, host, role)
		cancel()
		if err == nil {
			return g, nil
		}
		failed.add(fmt.Errorf("connect to %s (virtual host %q, user %q): %w", host, c.vhost, c.user, err), isLasting(err))
		if ctx.Err() != nil {
			failed.passing = true // the other hosts were not asked
			break
		}
	}
	return nil, failed
}

// hostsError is what came of trying each host.
type hostsError struct {
	errs    []error // one for each host
	passing bool    // the next time, one of them may do better
}

func (e *hostsError) add(err error, lasting bool) {
	e.errs = append(e.errs, err)
	e.passing = e.passing || !lasting
}

// Error says what each host answered.
func (e *hostsError) Error() string {
	texts := make([]string, len(e.errs))
	for i, err := range e.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e *hostsError) Unwrap() []error { return e.errs }

// share is how long one of so many attempts may take, so that a host that does
// not answer leaves time for the others.
func share(ctx context.Context, most time.Duration, attempts int) time.Duration {
	if deadline, limited := ctx.Deadline(); limited {
		most = min(most, time.Until(deadline))
	}
	return most / time.Duration(attempts)
}

// dial opens one connection, within ctx.
func dial(ctx context.Context, c *config, host, role string) (*generation, error) {
	s, err := dialSocket(ctx, c, host, role == rolePublish)
	if err != nil {
		return nil, dialError(ctx, err)
	}
	stop := context.AfterFunc(ctx, s.cut)
	t := &tuner{socket: s}
	conn, err := amqp.Open(t, amqpConfig(c, role))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.end() // amqp091-go leaves its goroutines behind where the handshake failed
		return nil, dialError(ctx, handshakeError(err, s))
	}
	conn.Config.FrameSize = t.agreed
	s.limit(conn.Config.Heartbeat * 3 / 2)
	return newGeneration(conn, s, host), nil
}

func dialSocket(ctx context.Context, c *config, host string, buffered bool) (*socket, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if c.tls == nil {
		return newSocket(raw, raw, buffered), nil
	}
	conf := c.tls
	if conf.ServerName == "" {
		conf = conf.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(host)
	}
	secure := tls.Client(raw, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return newSocket(secure, raw, buffered), nil
}

// amqpConfig is what the broker is told about us. Recovery stays nil: after
// amqp091-go's own recovery, an acknowledgement of the old connection settles
// another message of the new one.
func amqpConfig(c *config, role string) amqp.Config {
	properties := amqp.NewConnectionProperties()
	properties["product"] = "warren"
	properties["version"] = moduleVersion()
	properties.SetClientConnectionName(c.name + " " + role)
	return amqp.Config{
		SASL:       []amqp.Authentication{&login{PlainAuth: amqp.PlainAuth{Username: c.user, Password: c.password}, properties: properties}},
		Vhost:      c.vhost,
		FrameSize:  largestRead,
		Heartbeat:  c.heartbeat,
		Locale:     "en_US",
		Properties: properties,
	}
}

// login is PLAIN, with one thing added: it asks the broker to say so when it
// refuses the password. amqp091-go does not, and has to guess from a closed
// socket, which is also what a broker that is just stopping leaves. It fills
// in the capabilities just before it asks for the response.
type login struct {
	amqp.PlainAuth
	properties amqp.Table
}

// Response implements [amqp.Authentication].
func (l *login) Response() string {
	if capabilities, ok := l.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return l.PlainAuth.Response()
}

// errGarbage is what comes of a port where something else listens.
var errGarbage = errors.New("what answers there does not speak AMQP 0-9-1; the port is usually 5672, or 5671 with TLS")

// handshakeError prefers what happened to the socket to amqp091-go's guess.
func handshakeError(err error, s *socket) error {
	if s.isGarbage() {
		return &lastingError{errGarbage}
	}
	if cause := s.cause(); cause != nil && code(err) == 0 {
		return cause
	}
	return err
}

// dialError says what to do about an error.
func dialError(ctx context.Context, err error) error {
	var unknown *net.DNSError
	switch {
	case errors.Is(err, errGarbage):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w; is RabbitMQ running there?", err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errors.New("no answer in time; is RabbitMQ running there, and is the way to it open?")
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &unknown) && unknown.IsNotFound: // for now: a container that is not up yet has no name
		return fmt.Errorf("%w; is the host's name right?", err)
	case isTLSRefusal(err):
		return &lastingError{fmt.Errorf("%w; check the certificates, and that the port is the one for TLS, usually 5671", err)}
	}
	return explain(err)
}

// lastingError is a failure to connect that will be the same the next time.
type lastingError struct{ error }

func (e *lastingError) Unwrap() error { return e.error }

// isLasting says whether trying the same host again, without changing
// something, is useless.
func isLasting(err error) bool {
	var lasting *lastingError
	if errors.As(err, &lasting) {
		return true
	}
	switch code(err) {
	case amqp.AccessRefused, amqp.NotAllowed, amqp.InvalidPath:
		return true
	}
	return false
}

// moduleVersion is what the binary was built with, for the broker's management
// pages.
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// politeness is how long a connection may take to close in order before it is
// cut.
const politeness = 2 * time.Second
