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
	notify  func()                  // says that health has changed
	cut     <-chan struct{}         // closed when nothing is waited for any more

	stop context.CancelFunc
	done chan struct{} // closed when the link has ended

	// Used by run only.
	failures int  // attempts in a row that brought no connection, or one that was of no use
	doubtful bool // the last connection was of no use

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
		cfg: b.cfg, role: role, restore: restore, note: b.note, notify: b.health.Notify, cut: b.cut, stop: stop,
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
		err := g.watch(ctx, l.blocked, l.proven)
		wait := l.judge(g)
		l.leave(g, err, wait)
		if ctx.Err() != nil {
			g.close(l.cut)
			return
		}
		g.socket.end()
		g = nil
		pause(ctx, wait)
	}
}

// judge says how long to wait after the loss of a connection: not at all where
// it was of use. One that opens and dies, again and again, is no better than
// none at all.
func (l *link) judge(g *generation) time.Duration {
	if l.doubtful = !g.wasUseful(); l.doubtful {
		l.failures++
	} else {
		l.failures = 0
	}
	return l.wait()
}

// wait is how long to wait before the next attempt to connect.
func (l *link) wait() time.Duration {
	if l.failures == 0 {
		return 0
	}
	return backoff(l.failures-1, reconnectFirst, reconnectMost)
}

// connect tries until there is a connection, or returns nil when ctx ends.
func (l *link) connect(ctx context.Context) *generation {
	for ctx.Err() == nil {
		g, err := dialAny(ctx, l.cfg, l.role)
		if err == nil && l.restore != nil {
			if err = l.restore(g); err != nil {
				g.socket.end()
			}
		}
		if err == nil {
			return g
		}
		l.failures++
		wait := l.wait()
		if ctx.Err() == nil {
			l.failed(err, wait)
		}
		pause(ctx, wait)
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
	l.notify()
}

// enter logs before anybody can use g: a line that came later would be among
// those about what became of it.
func (l *link) enter(g *generation) {
	if !l.doubtful {
		l.logConnected(g)
	}
	l.change(func() {
		l.present = g
		l.health.State, l.health.Since = messaging.Connected, time.Now()
	})
}

// proven is called once a connection has lived for a while. Before, one that
// follows others which died at once is not worth a line in the log.
func (l *link) proven(g *generation) {
	if l.doubtful {
		l.logConnected(g)
	}
}

func (l *link) logConnected(g *generation) {
	l.cfg.log.Info("connected to RabbitMQ", "role", l.role, "host", g.host, "attempt", l.failures+1)
}

func (l *link) leave(g *generation, err error, wait time.Duration) {
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
		l.cfg.log.Warn("lost the connection to RabbitMQ, connecting again", "role", l.role, "error", err, "attempt", l.failures+1, "wait", wait)
	}
}

// failed notes a failure to connect, and logs it with the number of the next
// attempt and how long that waits.
func (l *link) failed(err error, wait time.Duration) {
	l.mu.Lock()
	l.health.LastError = err
	l.mu.Unlock()
	l.note(err)
	l.cfg.log.Warn("cannot connect to RabbitMQ, trying on", "role", l.role, "error", err, "attempt", l.failures+1, "wait", wait)
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
	l.notify()
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

// frameLimit is the size of the largest frame that the broker takes.
func (l *link) frameLimit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.present == nil {
		return frameSize + frameFudge
	}
	return l.present.conn.Config.FrameSize + frameFudge
}

func (l *link) snapshot() messaging.Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.health
}
