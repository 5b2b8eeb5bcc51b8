package natsjetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Broker is a [messaging.Broker] on NATS JetStream.
type Broker struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	ackWait time.Duration

	life context.Context // ends when Close cuts, or is over
	end  context.CancelFunc
	own  sync.WaitGroup // goroutines that end with life
	over chan struct{}  // closed when Close has returned

	changes messaging.Changes // of Health

	mu       sync.Mutex
	up       chan struct{}   // closed when the connection is back
	conn     context.Context // ends when the connection is lost
	lose     context.CancelCauseFunc
	since    time.Time
	lastErr  error
	declared map[string]messaging.QueueSpec // through this Broker, to declare them again
	held     map[*job]struct{}              // messages whose lease is ours
	subs     map[*subscription]struct{}
	closing  bool
	drained  chan struct{} // closed when closing and the last subscription has ended

	unfinished int   // subscriptions that left handlers behind while closing
	closeErr   error // set before over is closed
}

var (
	_ messaging.Broker  = (*Broker)(nil)
	_ messaging.Getter  = (*Broker)(nil)
	_ messaging.Watcher = (*Broker)(nil)
)

func newBroker(ackWait time.Duration) *Broker {
	b := &Broker{
		ackWait:  ackWait,
		over:     make(chan struct{}),
		up:       make(chan struct{}),
		since:    time.Now(),
		declared: map[string]messaging.QueueSpec{},
		held:     map[*job]struct{}{},
		subs:     map[*subscription]struct{}{},
		drained:  make(chan struct{}),
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.conn, b.lose = context.WithCancelCause(b.life)
	return b
}

func (b *Broker) disconnected(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn.Err() != nil || b.closing && err == nil {
		return
	}
	b.lastErr = fmt.Errorf("the connection was lost: %w", cmp.Or(err, nats.ErrConnectionClosed))
	b.since, b.up = time.Now(), make(chan struct{})
	b.lose(b.lastErr)
	b.changes.Notify()
	slog.Warn("NATS: connection lost; it is opened again", "error", err)
}

// reconnected returns to the queues what was held when the connection was lost:
// rule C8 has it delivered again at once, not after ack_wait.
func (b *Broker) reconnected() {
	b.mu.Lock()
	b.conn, b.lose = context.WithCancelCause(b.life)
	b.since = time.Now()
	close(b.up)
	b.mu.Unlock()
	b.changes.Notify()
	slog.Info("NATS: connected again")
	b.giveUpAll()
}

// connection waits for one, and returns the context that ends with it.
func (b *Broker) connection(ctx context.Context) (context.Context, error) {
	for ctx.Err() == nil {
		b.mu.Lock()
		up, conn := b.up, b.conn
		b.mu.Unlock()
		if conn.Err() == nil {
			return conn, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
		}
	}
	return nil, ended(ctx)
}

// connected says whether there is a connection now.
func (b *Broker) connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn.Err() == nil
}

// note keeps an error for Health.
func (b *Broker) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastErr = err
}

// Health reports what nats.go has said of the connection. JetStream has no
// alarm that blocks publishers.
func (b *Broker) Health() messaging.Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := messaging.Health{State: messaging.Connected, Since: b.since, LastError: b.lastErr}
	switch {
	case b.closing:
		h.State = messaging.Closed
	case b.conn.Err() != nil:
		h.State = messaging.Connecting
	}
	for s := range b.subs {
		if s.active.Load() {
			h.Subscriptions++
		}
	}
	return h
}

// HealthChanged implements [messaging.Watcher].
func (b *Broker) HealthChanged() <-chan struct{} { return b.changes.Next() }

// join counts s in. It says no once the Broker is closing.
func (b *Broker) join(s *subscription) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.subs[s] = struct{}{}
	return true
}

// leave counts s out, with the error that it ended with.
func (b *Broker) leave(s *subscription, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, s)
	b.changes.Notify()
	if b.closing && err != nil {
		b.unfinished++
	}
	if b.closing && len(b.subs) == 0 {
		close(b.drained)
	}
}

// closeGrace is how much longer than its context Close waits for what it cut.
const closeGrace = 50 * time.Millisecond

// Close drains the subscriptions until ctx ends, returns to the queues what
// [messaging.Get] holds, and closes the connection.
func (b *Broker) Close(ctx context.Context) error {
	if !b.beginClose() {
		select {
		case <-b.over:
			return b.closeErr
		case <-ctx.Done():
			return fmt.Errorf("close: %w", ctx.Err())
		}
	}
	defer close(b.over)
	b.waitFor(ctx, b.drained)
	b.closeErr = b.whatWasCut(ctx)
	b.end()
	b.waitFor(b.life, b.drained)

	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.giveUpAll()
		b.own.Wait()
		b.nc.Close()
	}()
	if !b.waitFor(ctx, gone) {
		b.closeErr = errors.Join(b.closeErr, fmt.Errorf("close: the connection is still closing: %w", ctx.Err()))
	}
	return b.closeErr
}

// waitFor waits for done until ctx ends, and not much longer.
func (b *Broker) waitFor(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	case <-time.After(closeGrace):
		return false
	}
}

func (b *Broker) beginClose() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.closing, b.since = true, time.Now()
	b.changes.Notify()
	for s := range b.subs {
		s.cancel(messaging.ErrClosed)
	}
	if len(b.subs) == 0 {
		close(b.drained)
	}
	return true
}

func (b *Broker) whatWasCut(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.subs) + b.unfinished; n > 0 {
		return fmt.Errorf("close: %d subscriptions had to be cut off: %w", n, cmp.Or(ctx.Err(), context.DeadlineExceeded))
	}
	return nil
}

// do calls f for a method of the Broker, and again while the connection is away,
// until ctx ends.
func (b *Broker) do(ctx context.Context, doing string, f func(context.Context) error) error {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	if err := b.retry(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func (b *Broker) retry(ctx context.Context, f func(context.Context) error) error {
	for {
		err := b.once(ctx, f)
		switch {
		case err == nil || ctx.Err() == nil && !passing(err):
			return err
		case !pause(ctx, again):
			return ended(ctx)
		}
	}
}

// once calls f when there is a connection, for as long as that lasts: whoever
// asked through it would wait for the answer in vain.
func (b *Broker) once(ctx context.Context, f func(context.Context) error) error {
	conn, err := b.connection(ctx)
	if err != nil {
		return err
	}
	limited, cancel := during(ctx, conn)
	defer cancel()
	err = f(limited)
	if err != nil && conn.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", nats.ErrDisconnected, err)
	}
	return err
}

// during is ctx for as long as a connection lasts.
func during(ctx, conn context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(conn, func() { cancel(context.Cause(conn)) })
	return ctx, func() { stop(); cancel(nil) }
}

// again is the time between two attempts at what a lost connection made fail.
const again = 10 * time.Millisecond

// passing says whether an error is that of a connection or a server that is
// away for a while.
func passing(err error) bool {
	for _, e := range []error{
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrStaleConnection,
		nats.ErrNoResponders, nats.ErrTimeout, jetstream.ErrNoStreamResponse, jetstream.ErrAsyncPublishTimeout,
		jetstream.ErrNoHeartbeat,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// bound is ctx for a call: it ends with the Broker, and after the time that a
// call without deadline has.
func (b *Broker) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.life, func() { cancel(messaging.ErrClosed) })
	if b.life.Err() != nil { // AfterFunc takes its time
		cancel(messaging.ErrClosed)
	}
	free := func() {}
	if _, limited := ctx.Deadline(); !limited {
		ctx, free = context.WithTimeout(ctx, messaging.DefaultPublishTimeout)
	}
	return ctx, func() { free(); stop(); cancel(nil) }
}

// ended is the error of a ctx that has ended, and why.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w (%w)", cause, ctx.Err())
	}
	return ctx.Err()
}

// pause says whether it was not interrupted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
