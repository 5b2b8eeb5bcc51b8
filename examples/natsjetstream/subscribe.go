package natsjetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/warrenmq/warren/pkg/messaging"
)

// subscription is one Subscribe.
type subscription struct {
	b      *Broker
	src    messaging.Source
	keys   []string // NATS's filters, on a topic
	place  place
	ctx    context.Context // ends the intake
	cancel context.CancelCauseFunc

	active   atomic.Bool    // at the broker, now
	jobs     chan *job      // received, and not handed out
	room     chan struct{}  // one for each message that is held
	received chan struct{}  // closed when no more comes into jobs
	moves    sync.WaitGroup // messages on their way to another attempt or to the dead letters
}

// Subscribe handles messages, see [messaging.Subscriber].
func (b *Broker) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	src, err := messaging.CheckSubscribe(from, h)
	if err != nil {
		return err
	}
	s, err := newSubscription(ctx, b, src)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", src.Address, err)
	}
	defer s.cancel(nil)
	if !b.join(s) {
		return s.failed(messaging.ErrClosed)
	}
	err = s.run(h)
	b.leave(s, err)
	if errors.Is(context.Cause(s.ctx), messaging.ErrClosed) {
		err = errors.Join(messaging.ErrClosed, err)
	}
	return s.failed(err)
}

func newSubscription(ctx context.Context, b *Broker, src messaging.Source) (*subscription, error) {
	s := &subscription{
		b:        b,
		src:      src,
		place:    placeOf(src),
		jobs:     make(chan *job, src.Prefetch),
		room:     make(chan struct{}, src.Prefetch),
		received: make(chan struct{}),
	}
	if src.Address.IsTopic() {
		var err error
		if s.keys, err = filters(src.Address.Name(), src.Keys); err != nil {
			return nil, err
		}
	}
	if s.private() {
		s.place = groupPlace("private " + messaging.NewID())
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s, nil
}

func (s *subscription) private() bool { return s.src.Address.IsTopic() && s.src.Group == "" }

func (s *subscription) setActive(yes bool) {
	s.active.Store(yes)
	s.b.changes.Notify()
}

// failed says of which subscription err is, nil for nil.
func (s *subscription) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("subscribe to %s: %w", s.src.Address, err)
}

// run receives, and lets the workers work, until the context ends.
func (s *subscription) run(h messaging.Handler) error {
	if s.ctx.Err() != nil {
		return nil
	}
	var refused error
	go func() {
		defer close(s.received)
		if refused = s.receive(); refused != nil {
			s.cancel(nil)
		}
	}()
	err := messaging.Workers{
		Source:  s.src,
		Handler: h,
		Next:    s.next,
		Stop:    s.stop,
		Cut:     s.b.life.Done(),
	}.Run(s.ctx)
	s.moves.Wait()
	s.leave()
	return errors.Join(refused, err)
}

// next is what the workers call for a message.
func (s *subscription) next(ctx context.Context) messaging.Job {
	for {
		select {
		case j := <-s.jobs:
			switch {
			case j.settled.Load(): // the connection was lost meanwhile
			case j.expired():
				j.Settle(messaging.Decision{Action: messaging.Acknowledge})
			default:
				return j
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// stop returns to the queue what was received and not handed out. The workers
// call it when the context has ended, before they wait for the handlers.
func (s *subscription) stop() {
	<-s.received
	for {
		select {
		case j := <-s.jobs:
			j.Settle(messaging.Decision{Action: messaging.Release})
		default:
			return
		}
	}
}

// leaveTimeout is how long the end of a subscription may wait for the broker.
const leaveTimeout = time.Second

// leave makes sure that the broker has everything that was settled (rule S1).
func (s *subscription) leave() {
	if !s.b.connected() {
		return
	}
	ctx, cancel := context.WithTimeout(s.b.life, leaveTimeout)
	defer cancel()
	if s.private() {
		s.b.report("delete a private subscription", s.b.js.DeleteConsumer(ctx, s.place.stream, s.place.consumer))
	}
	s.b.report("end a subscription", s.b.nc.FlushWithContext(ctx))
}

// receive keeps the subscription active at the broker until the context ends.
// It returns an error only where the broker refuses it from the start.
func (s *subscription) receive() error {
	for first := true; ; first = false {
		conn, err := s.b.connection(s.ctx)
		if err != nil {
			return nil
		}
		p, err := s.attach(conn)
		if err == nil {
			err = s.forward(conn, p)
			s.setActive(false)
			s.detach(p)
		}
		var refused *jetstream.APIError
		switch {
		case s.ctx.Err() != nil:
			return nil
		case first && p == nil && (errors.As(err, &refused) || errors.Is(err, messaging.ErrMismatch)):
			return err
		}
		s.b.note(fmt.Errorf("subscription to %s interrupted: %w", s.src.Address, err))
		slog.Warn("NATS: subscription interrupted; it resumes by itself", "from", s.src.Address, "error", err)
		pause(s.ctx, again)
	}
}

// attach declares what is missing, and makes the subscription active.
func (s *subscription) attach(conn context.Context) (*pull, error) {
	ctx, cancel := during(s.ctx, conn)
	defer cancel()
	if !s.src.AutoAck { // which has no dead letters
		if _, err := s.b.ensure(ctx, s.src.Retry.DeadLetter.Name()); err != nil {
			return nil, fmt.Errorf("declare the dead letters' queue: %w", err)
		}
	}
	if err := s.declare(ctx); err != nil {
		return nil, err
	}
	p, err := s.b.newPull(s.place)
	if err != nil {
		return nil, err
	}
	s.setActive(conn.Err() == nil)
	if s.src.Ready != nil {
		s.src.Ready()
	}
	return p, nil
}

// declare makes sure that there is a consumer to receive from.
func (s *subscription) declare(ctx context.Context) (err error) {
	if s.src.Address.IsTopic() {
		return s.b.bind(ctx, s.place, s.keys, s.private())
	}
	s.place, err = s.b.ensure(ctx, s.src.Address.Name())
	return err
}

// forward hands on what comes, until the context or the connection has ended,
// or the consumer has.
func (s *subscription) forward(conn context.Context, p *pull) error {
	ctx, cancel := during(s.ctx, conn)
	defer cancel()
	for {
		if p.asked == 0 {
			n := s.takeRoom(ctx)
			if n == 0 {
				return ended(ctx)
			}
			if err := p.ask(request{Batch: n, Expires: pullExpiry, Heartbeat: pullHeartbeat}); err != nil {
				return err
			}
		}
		switch m, err := p.next(ctx); {
		case errors.Is(err, errOver):
			s.giveRoom(p)
		case ctx.Err() != nil && m == nil:
			return ended(ctx)
		case err != nil:
			return err
		default:
			s.hand(ctx, s.b.newJob(s, s.src, s.place, m))
		}
	}
}

func (s *subscription) hand(ctx context.Context, j *job) {
	select {
	case s.jobs <- j:
	case <-ctx.Done():
		j.Settle(messaging.Decision{Action: messaging.Release})
	}
}

// takeRoom waits until a message may be held, and returns how many may: 0 when
// ctx has ended. That the requests are no larger is how Prefetch is kept.
func (s *subscription) takeRoom(ctx context.Context) (n int) {
	select {
	case s.room <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n = 1; ; n++ {
		select {
		case s.room <- struct{}{}:
		default:
			return n
		}
	}
}

// giveRoom is for what was asked for and did not come.
func (s *subscription) giveRoom(p *pull) {
	for ; p.asked > 0; p.asked-- {
		<-s.room
	}
}

func (s *subscription) detach(p *pull) {
	p.end()
	s.giveRoom(p)
}
