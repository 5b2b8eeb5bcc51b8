package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// outgoing is a message as the broker gets it.
type outgoing struct {
	exchange   string
	key        string
	mandatory  bool // somebody must take it, otherwise it comes back; false for topics
	publishing amqp.Publishing
}

// laneCount is how many channels share the work. Each is a process of its own
// in the broker; more than a few gain nothing.
const laneCount = 4

// laneWindow is how many messages of a lane may be unconfirmed.
const laneWindow = 1024

// publisher sends messages over long-lived channels and waits until the broker
// has confirmed them. Calls share the channels, so that their messages travel
// and are confirmed together.
type publisher struct {
	cfg   *config
	link  *link
	cut   <-chan struct{}
	lanes []*lane
	alone *lane // one message at a time, for those that may have closed a channel

	topics sync.Map // names of topics whose exchange has been seen

	end     context.Context // of the lanes
	stop    context.CancelFunc
	running sync.WaitGroup // lanes, their sessions, and what they still wait for
}

func newPublisher(cfg *config, l *link, cut <-chan struct{}) *publisher {
	p := &publisher{cfg: cfg, link: l, cut: cut}
	p.end, p.stop = context.WithCancel(context.Background())
	for range laneCount {
		p.lanes = append(p.lanes, p.startLane(laneWindow))
	}
	p.alone = p.startLane(1)
	return p
}

func (p *publisher) startLane(window int) *lane {
	l := &lane{p: p, window: window, work: make(chan *batch, 16)}
	p.running.Go(l.run)
	return l
}

// close ends the lanes. The connection must have been closed before: its end
// is what ends the waiting for confirmations.
func (p *publisher) close() {
	p.stop()
	p.running.Wait()
}

// pick chooses a lane for all messages of one call: the first of those with
// the least to do, so that a program that publishes now and then uses one
// channel. They stay in order, and so do those of a goroutine's next call,
// which begins when these are stored.
func (p *publisher) pick() *lane {
	best := p.lanes[0]
	for _, l := range p.lanes[1:] {
		if l.load.Load() < best.load.Load() {
			best = l
		}
	}
	return best
}

// send sends messages until they are stored, or will not be, or ctx ends. It
// returns an error for each message, nil for those that are stored; nil where
// all are.
func (p *publisher) send(ctx context.Context, msgs []outgoing) []error {
	patience := p.patience(ctx)
	defer patience.stop()
	d := &dispatch{p: p, ctx: patience.ctx, progress: &patience.progress, msgs: msgs, state: make([]sending, len(msgs))}
	return d.run()
}

// patience limits how long a call may wait for the next sign of progress where
// its context has no deadline. It ends ctx after once to twice the limit.
type patience struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	limit    time.Duration
	progress atomic.Int64

	mu    sync.Mutex
	timer *time.Timer // nil where the caller's context has a deadline
	seen  int64
}

func (p *publisher) patience(ctx context.Context) *patience {
	if _, limited := ctx.Deadline(); limited {
		return &patience{ctx: ctx}
	}
	w := &patience{limit: p.cfg.publishTimeout}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.limit, w.check)
	return w
}

func (w *patience) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.progress.Load(); now != w.seen {
		w.seen = now
		w.timer.Reset(w.limit)
		return
	}
	w.cancel(&errPatience{"the broker confirmed nothing for", w.limit, "publish_timeout"})
}

func (w *patience) stop() {
	if w.timer != nil {
		w.timer.Stop()
		w.cancel(nil)
	}
}

// errPatience is why a context has ended whose limit is a parameter of the URL:
// that of a Publish without a deadline, and that of Open.
type errPatience struct {
	what      string // goes before the limit
	limit     time.Duration
	parameter string
}

func (e *errPatience) Error() string {
	return fmt.Sprintf("%s %s (%s)", e.what, e.limit, e.parameter)
}

// Is makes it the deadline that the caller has not set.
func (e *errPatience) Is(target error) bool { return target == context.DeadlineExceeded }

// endOf is why ctx has ended: its error, and the cause where there is another.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	var ours *errPatience
	if errors.As(cause, &ours) || errors.Is(err, cause) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
