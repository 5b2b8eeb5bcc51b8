package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// link is one connection to the broker that lasts: the only owner of
// reconnection. Whoever needs the broker asks it for the present generation.
type link struct {
	cfg     *config
	role    string                  // "publish" or "consume"
	restore func(*generation) error // makes what went with the old connection, before the new one is used
	note    func(error)             // keeps the last trouble for Health
	cut     <-chan struct{}         // closed when nothing is waited for any more

	stop context.CancelFunc
	done chan struct{} // closed when the link has ended

	mu      sync.Mutex
	present *generation   // nil while there is no connection
	changed chan struct{} // closed at the next change of present or closed
	closed  bool
	health  messaging.Health // State, Since, Blocked, BlockedReason, LastError
}

// newLink returns a link that begins with g, or, where g is nil, by connecting.
func newLink(b *Broker, role string, g *generation, restore func(*generation) error) *link {
	ctx, stop := context.WithCancel(context.Background())
	l := &link{
		cfg: b.cfg, role: role, restore: restore, note: b.note, cut: b.cut, stop: stop,
		done:    make(chan struct{}),
		changed: make(chan struct{}),
		health:  messaging.Health{State: messaging.Connecting, Since: time.Now()},
	}
	if g != nil {
		l.enter(g)
	}
	go l.run(ctx, g)
	return l
}

func (l *link) run(ctx context.Context, g *generation) {
	defer close(l.done)
	defer l.ended()
	for {
		if g == nil {
			if g = l.connect(ctx); g == nil {
				return
			}
			l.enter(g)
		}
		err := g.watch(ctx, l.blocked)
		l.leave(g, err)
		if ctx.Err() != nil {
			g.close(l.cut)
			return
		}
		g.socket.cut()
		g = nil
	}
}

// connect tries until there is a connection, or returns nil when ctx ends.
func (l *link) connect(ctx context.Context) *generation {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		g, err := dialAny(ctx, l.cfg, l.role)
		if err == nil && l.restore != nil {
			if err = l.restore(g); err != nil {
				g.socket.cut()
			}
		}
		if err == nil {
			return g
		}
		if ctx.Err() == nil {
			l.failed(err)
		}
		if !pause(ctx, backoff(attempt, reconnectFirst, reconnectMost)) {
			break
		}
	}
	return nil
}

// change sets something and wakes up everybody who waits for it.
func (l *link) change(set func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) enter(g *generation) {
	l.change(func() {
		l.present = g
		l.health.State, l.health.Since = messaging.Connected, time.Now()
	})
	l.cfg.log.Info("connected to RabbitMQ", "role", l.role, "host", g.host)
}

func (l *link) leave(g *generation, err error) {
	g.end(err)
	l.change(func() {
		l.present = nil
		l.health.State, l.health.Since = messaging.Connecting, time.Now()
		l.health.Blocked, l.health.BlockedReason = false, ""
		if err != nil {
			l.health.LastError = err
		}
	})
	if err != nil {
		l.note(err)
		l.cfg.log.Warn("lost the connection to RabbitMQ, connecting again", "role", l.role, "error", err)
	}
}

// failed logs a failure to connect again, once for each different one.
func (l *link) failed(err error) {
	l.mu.Lock()
	repeated := l.health.LastError != nil && l.health.LastError.Error() == err.Error()
	l.health.LastError = err
	l.mu.Unlock()
	l.note(err)
	if !repeated {
		l.cfg.log.Warn("cannot connect to RabbitMQ, trying on", "role", l.role, "error", err)
	}
}

func (l *link) blocked(b *block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health.Blocked, l.health.BlockedReason = b != nil, ""
	if b != nil {
		l.health.BlockedReason = b.reason
		l.cfg.log.Warn("RabbitMQ blocks publishers", "role", l.role, "reason", b.reason)
	} else {
		l.cfg.log.Info("RabbitMQ no longer blocks publishers", "role", l.role)
	}
}

func (l *link) ended() {
	l.change(func() {
		l.closed = true
		l.health.State, l.health.Since = messaging.Closed, time.Now()
	})
}

// await returns the present connection, or waits for the next.
func (l *link) await(ctx context.Context) (*generation, error) {
	for {
		l.mu.Lock()
		g, changed, closed := l.present, l.changed, l.closed
		l.mu.Unlock()
		switch {
		case closed:
			return nil, messaging.ErrClosed
		case g != nil && !g.conn.IsClosed():
			return g, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, l.because(endOf(ctx))
		case <-l.cut:
			return nil, messaging.ErrClosed
		}
	}
}

// because adds the state of the connection to an error, where it explains it.
func (l *link) because(err error) error {
	h := l.snapshot()
	switch {
	case h.Blocked:
		return fmt.Errorf("%w: %w: %s", err, messaging.ErrBlocked, h.BlockedReason)
	case h.State == messaging.Connecting && h.LastError != nil:
		return fmt.Errorf("%w: not connected: %w", err, h.LastError)
	case h.State == messaging.Connecting:
		return fmt.Errorf("%w: not connected", err)
	}
	return err
}

func (l *link) snapshot() messaging.Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.health
}
