package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// The two connections of a Broker. RabbitMQ stops reading from a connection
// that publishes while it is short of memory: what is asked of it otherwise,
// and acknowledgements, must not wait behind that.
const (
	rolePublish = "publish"
	roleConsume = "consume"
)

// Broker is a [messaging.Broker] on RabbitMQ. It is used by any number of
// goroutines. Whoever opens it closes it.
type Broker struct {
	cfg       *config
	publisher *publisher
	publishes *link

	active    atomic.Int64          // subscriptions that are active at the broker
	lastError atomic.Pointer[error] // the last trouble with a connection or a subscription
	health    messaging.Changes

	mu        sync.Mutex
	consumes  *link                // nil until something is consumed or asked
	declared  map[string]*declared // by this Broker, by name
	closing   bool                 // Close was called: nothing new is begun
	closingAt time.Time            // when
	refusing  bool                 // and the subscriptions have drained: nothing is published either
	drains    sync.WaitGroup       // subscriptions
	calls     sync.WaitGroup       // other public methods that run
	tasks     sync.WaitGroup       // what they started and did not wait for

	intake     context.Context // of all subscriptions; ends when Close is called
	stopIntake context.CancelFunc
	life       context.Context // of everything; ends when Close no longer waits
	end        context.CancelFunc
	cut        <-chan struct{} // life.Done()
	closeOnce  sync.Once
	closed     chan struct{} // closed when Close is through
	closeErr   error
	unfinished int   // subscriptions that did not end in order while closing
	cutBy      error // the error of the context that ended before Close was through
}

var (
	_ messaging.Broker  = (*Broker)(nil)
	_ messaging.Getter  = (*Broker)(nil)
	_ messaging.Watcher = (*Broker)(nil)
)

func newBroker(c *config, g *generation) *Broker {
	b := &Broker{cfg: c, declared: map[string]*declared{}, closed: make(chan struct{})}
	b.life, b.end = context.WithCancel(context.Background())
	b.cut = b.life.Done()
	b.intake, b.stopIntake = context.WithCancel(b.life)
	b.publishes = newLink(b, rolePublish, g, b.awaitExclusives)
	b.publisher = newPublisher(c, b.publishes, b.cut)
	return b
}

// enter begins a public method. It fails once Close was called. Where it
// returns nil, b.calls.Done ends the method.
func (b *Broker) enter(doing string) error {
	return b.begin(doing, &b.closing, &b.calls)
}

// enterLate is enter for what handlers do while Close drains: publish, and
// settle what they got.
func (b *Broker) enterLate(doing string) error {
	return b.begin(doing, &b.refusing, &b.calls)
}

// enterDrain is enter for subscriptions; b.drains.Done ends it.
func (b *Broker) enterDrain(doing string) error {
	return b.begin(doing, &b.closing, &b.drains)
}

func (b *Broker) begin(doing string, refused *bool, running *sync.WaitGroup) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if *refused {
		return fmt.Errorf("%s: %w", doing, messaging.ErrClosed)
	}
	running.Add(1)
	return nil
}

// consumeLink returns the connection for everything but publishing, and opens
// it where it has not been needed before.
func (b *Broker) consumeLink() *link {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.consumes == nil {
		b.consumes = newLink(b, roleConsume, nil, b.restoreExclusives)
		b.health.Notify() // it is not connected yet
	}
	return b.consumes
}

// ask has the broker answer something, on the connection for everything but
// publishing. It returns when ctx ends even where the broker does not answer.
// Where the connection is lost meanwhile, it asks again: f must be something
// that may be done twice.
func (b *Broker) ask(ctx context.Context, f func(*generation) error) error {
	return b.askOn(ctx, b.consumeLink(), f)
}

// askOn is ask on a connection of the caller's choice.
func (b *Broker) askOn(ctx context.Context, l *link, f func(*generation) error) error {
	for attempt := 0; ; attempt++ {
		g, err := l.await(ctx)
		if err != nil {
			return err
		}
		answer := make(chan error, 1)
		b.tasks.Go(func() { answer <- f(g) })
		select {
		case err = <-answer:
		case <-ctx.Done():
			return l.because(endOf(ctx))
		case <-b.cut:
			return messaging.ErrClosed
		}
		if !g.worthAskingAgain(err) && (code(err) != amqp.InternalError || attempt >= mostFailures) {
			return err
		}
		if err := b.awaitAnother(ctx, g, attempt); err != nil {
			return err
		}
	}
}

// mostFailures is how often the broker may fail at what it is asked (541) before
// that is the answer. Two programs that declare the same quorum queue at the
// same time make RabbitMQ 3.10 fail so, once; RabbitMQ 4.3 refuses so what it does
// no longer support.
const mostFailures = 3

// awaitAnother waits until it is worth asking again what failed on g: for the
// next connection, or longer with each attempt where only a channel was lost.
func (b *Broker) awaitAnother(ctx context.Context, g *generation, attempt int) error {
	if attempt == 0 || g.conn.IsClosed() {
		return g.awaitLoss(ctx, b.cut)
	}
	timer := time.NewTimer(backoff(attempt-1, reconnectFirst, reconnectMost))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-b.cut:
		return messaging.ErrClosed
	}
}

// worthAskingAgain says whether err comes from the loss of the connection or
// channel, and not from the broker refusing what it was asked.
func (g *generation) worthAskingAgain(err error) bool {
	if err == nil {
		return false
	}
	if c := code(err); c != 0 {
		return c == amqp.ConnectionForced
	}
	return g.conn.IsClosed() || errors.Is(err, amqp.ErrClosed)
}

// recovered waits until it is worth trying again what failed on g: at once
// where the connection was lost, after a moment where only a channel could not
// be had. It says whether that was before the end of everything.
func (g *generation) recovered(ctx context.Context, cut <-chan struct{}) bool {
	if g.conn.IsClosed() {
		return g.awaitLoss(ctx, cut) == nil
	}
	return pause(ctx, reconnectFirst)
}

// awaitLoss waits until the link knows of a connection that is closed. It does
// not wait for one that is not.
func (g *generation) awaitLoss(ctx context.Context, cut <-chan struct{}) error {
	if !g.conn.IsClosed() {
		return ctx.Err()
	}
	select {
	case <-g.lost:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-cut:
		return messaging.ErrClosed
	}
}

// note keeps an error for Health.
func (b *Broker) note(err error) { b.lastError.Store(&err) }

// countActive adds n to the subscriptions that Health counts.
func (b *Broker) countActive(n int64) {
	b.active.Add(n)
	b.health.Notify()
}

// HealthChanged implements [messaging.Watcher].
func (b *Broker) HealthChanged() <-chan struct{} { return b.health.Next() }

// Health implements [messaging.Broker]. The Broker is connected when all
// connections that it needs are.
func (b *Broker) Health() messaging.Health {
	h := b.publishes.snapshot()
	b.mu.Lock()
	consumes, closing, since := b.consumes, b.closing, b.closingAt
	b.mu.Unlock()
	if consumes != nil {
		if c := consumes.snapshot(); h.State == messaging.Connected && (c.State != messaging.Connected || c.Since.After(h.Since)) {
			h.State, h.Since = c.State, c.Since
		}
	}
	if closing {
		h.State, h.Since = messaging.Closed, since
	}
	h.Subscriptions = int(b.active.Load())
	if err := b.lastError.Load(); err != nil {
		h.LastError = *err
	}
	return h
}
