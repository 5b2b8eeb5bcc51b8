package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// patience is how long a test waits for what must happen.
const testPatience = 30 * time.Second

// testLog keeps what a Broker logs, and shows it where the test failed.
type testLog struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

func newTestLog(t testing.TB) (*testLog, *slog.Logger) {
	l := &testLog{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the broker's log:\n" + l.String())
		}
	})
	return l, slog.New(slog.NewTextHandler(l, nil))
}

// openAt opens a Broker that is closed when the test ends.
func openAt(t testing.TB, rawURL string, opts ...Option) *Broker {
	t.Helper()
	_, log := newTestLog(t)
	b, err := Open(t.Context(), rawURL, append([]Option{WithLogger(log)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func open(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	return openAt(t, rabbitmqtest.URL(t), opts...)
}

// viaProxy returns base with the proxy's address and a query.
func viaProxy(p *rabbitmqtest.Proxy, base, query string) string {
	u, err := url.Parse(p.URL(base))
	if err != nil {
		panic(err)
	}
	u.RawQuery = query
	return u.String()
}

// declare makes a queue of the test's own.
func declare(t testing.TB, b messaging.Broker, set ...func(*messaging.QueueSpec)) messaging.Address {
	t.Helper()
	spec := messaging.QueueSpec{Name: t.Name() + "." + messaging.NewID()}
	for _, f := range set {
		f(&spec)
	}
	if err := b.Declare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return messaging.Queue(spec.Name)
}

func publish(t testing.TB, b messaging.Publisher, q messaging.Address, msgs ...*messaging.Message) {
	t.Helper()
	if err := b.Publish(t.Context(), q, msgs...); err != nil {
		t.Fatal(err)
	}
}

// running is a Subscribe that runs until the test ends, or stop.
type running struct {
	t      testing.TB
	ready  chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func subscribe(t testing.TB, b messaging.Subscriber, src messaging.Source, h messaging.Handler) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, ready: make(chan struct{}, 100), cancel: cancel, done: make(chan struct{})}
	src.Ready = func() { r.ready <- struct{}{} }
	go func() {
		defer close(r.done)
		r.err = b.Subscribe(ctx, src, h)
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	r.waitReady()
	return r
}

func (r *running) waitReady() {
	r.t.Helper()
	select {
	case <-r.ready:
	case <-r.done:
		r.t.Fatalf("Subscribe returned: %v", r.err)
	case <-time.After(testPatience):
		r.t.Fatal("waited in vain for the subscription to be ready")
	}
}

// stop ends the subscription and returns what Subscribe returned.
func (r *running) stop() error {
	r.t.Helper()
	r.cancel()
	select {
	case <-r.done:
	case <-time.After(testPatience):
		r.t.Fatal("waited in vain for Subscribe to return")
	}
	return r.err
}

// collect is a handler that passes deliveries on to the test.
func collect(to chan<- messaging.Delivery) messaging.Handler {
	return func(_ context.Context, d *messaging.Delivery) error {
		to <- *d
		return nil
	}
}

// next waits for one of what comes.
func next[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(testPatience):
		t.Fatalf("waited in vain for %s", what)
	}
	panic("unreachable")
}

// rawChannel is what a program without this package has.
func rawChannel(t testing.TB, rawURL string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.DialConfig(rawURL, amqp.Config{Locale: "en_US", FrameSize: amqp.FrameSizeUnlimited}) // what the broker proposes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// empty waits until q has no message.
func empty(t testing.TB, b messaging.Manager, q messaging.Address) {
	t.Helper()
	counts(t, b, q, 0, -1)
}

// counts waits until q has so many messages, and consumers where they are not
// negative. A quorum queue tells of a moment ago.
func counts(t testing.TB, b messaging.Manager, q messaging.Address, ready, consumers int) {
	t.Helper()
	timeout := time.After(testPatience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := b.Inspect(t.Context(), q)
		if err == nil && info.Ready == ready && (consumers < 0 || info.Consumers == consumers) {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Errorf("%+v (%v); want %d messages ready, %d consumers", info, err, ready, consumers)
			return
		}
	}
}

func texts(prefix string, n int) []*messaging.Message {
	msgs := make([]*messaging.Message, n)
	for i := range msgs {
		msgs[i] = &messaging.Message{Body: fmt.Appendf(nil, "%s%d", prefix, i)}
	}
	return msgs
}

// rawLetters consumes without this package.
func rawLetters(t testing.TB, ch *amqp.Channel, queue string) <-chan amqp.Delivery {
	t.Helper()
	letters, err := ch.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

// failOnce is a handler that passes deliveries on, asks for
// another attempt at once, and does not finish that.
func failOnce(to chan<- messaging.Delivery) messaging.Handler {
	return func(ctx context.Context, d *messaging.Delivery) error {
		if d.Attempt > 1 {
			select {
			case to <- *d:
			default:
			}
			<-ctx.Done()
			return ctx.Err()
		}
		to <- *d
		return messaging.RetryAfter(0, errors.New("again"))
	}
}
