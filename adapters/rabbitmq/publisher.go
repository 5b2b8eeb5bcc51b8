package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// laneRoom is how many messages one lane takes before another is used as well.
const laneRoom = laneWindow / 4

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

	end     context.Context // of what waits for the broker to open channels
	stop    context.CancelFunc
	running sync.WaitGroup // openings, sessions, and what they still wait for
}

func newPublisher(cfg *config, l *link, cut <-chan struct{}) *publisher {
	p := &publisher{cfg: cfg, link: l, cut: cut}
	p.end, p.stop = context.WithCancel(context.Background())
	for range laneCount {
		p.lanes = append(p.lanes, &lane{p: p, window: laneWindow})
	}
	p.alone = &lane{p: p, window: 1}
	return p
}

// close waits for what the publisher has started. No call is running any more,
// and the connection must have been closed before: its end is what ends the
// waiting for confirmations.
func (p *publisher) close() {
	p.stop()
	p.running.Wait()
}

// pick chooses a lane for all messages of one call: the first that has room,
// since the broker does less for messages that come over one channel, or that
// with the least to do. They stay in order, and so do those of a goroutine's
// next call, which begins when these are stored.
func (p *publisher) pick() *lane {
	best := p.lanes[0]
	for _, l := range p.lanes {
		load := l.load.Load()
		if load < laneRoom {
			return l
		}
		if load < best.load.Load() {
			best = l
		}
	}
	return best
}

// send sends n messages until they are stored, or will not be, or ctx ends.
// encode makes message i; it is called once for each, in order, while the
// earlier ones are on their way. send returns an error for each message, nil
// for those that are stored; nil where all are.
func (p *publisher) send(ctx context.Context, n int, encode func(int) (outgoing, error)) []error {
	d := &dispatch{p: p, ctx: ctx, encode: encode, msgs: make([]sending, n)}
	defer d.stop()
	return d.run()
}

// patient limits what waits for the broker on behalf of a Publish whose context
// has no deadline.
func (p *publisher) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); limited {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, p.cfg.publishTimeout, p.impatience())
}

func (p *publisher) impatience() error {
	return &errPatience{"the broker confirmed nothing for", p.cfg.publishTimeout, "publish_timeout"}
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
