package memory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/warrenmq/warren/pkg/messaging"
)

// subscription is one Subscribe. The consumer that it has in its queue is
// replaced when the queue is, or the connection.
type subscription struct {
	b       *Broker
	src     messaging.Source
	ctx     context.Context // ends the intake
	cancel  context.CancelCauseFunc
	trouble chan error               // why it may have to attach again; nil is good news
	current atomic.Pointer[consumer] // is consumer, for the workers
	workers sleepers

	// The rest belongs to b.mu.
	spec     messaging.QueueSpec // of the queue, to declare it again
	consumer *consumer
}

// Subscribe handles messages, see [messaging.Subscriber]. It declares the
// dead-letter queue too, but with AutoAck, which has no dead letters.
//
// Group g of topic t is the queue "t.g", bound with each of Source.Keys; what
// it was bound with before stays. Retries go back to that queue and not to the
// topic. A private subscription has a queue that is deleted when it ends, or
// when the connection is lost, with the messages in it.
func (b *Broker) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	src, err := messaging.CheckSubscribe(from, h)
	if err != nil {
		return err
	}
	s := newSubscription(ctx, b, src)
	defer s.cancel(nil)
	if !b.join(s) {
		return s.failed(messaging.ErrClosed)
	}
	err = s.run(messaging.Workers{
		Source:  src,
		Handler: h,
		Next:    s.next,
		Stop:    s.stop,
		Cut:     b.cut,
		Log:     b.logger,
	})
	b.leave(s, err != nil)
	if errors.Is(context.Cause(s.ctx), messaging.ErrClosed) {
		err = errors.Join(messaging.ErrClosed, err)
	}
	return s.failed(err)
}

func newSubscription(ctx context.Context, b *Broker, src messaging.Source) *subscription {
	s := &subscription{
		b:       b,
		src:     src,
		workers: newSleepers(src.Concurrency),
		trouble: make(chan error, 1),
		spec:    specOf(&src),
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// run lets the workers work, and attaches the subscription each time it has to
// be, until they have ended.
func (s *subscription) run(w messaging.Workers) error {
	ended := make(chan error, 1)
	go func() { ended <- w.Run(s.ctx) }()
	s.resume(nil)
	for {
		select {
		case why := <-s.trouble:
			s.resume(why)
		case err := <-ended:
			return err
		}
	}
}

// failed says of which subscription err is, nil for nil.
func (s *subscription) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("subscribe to %s: %w", s.src.Address, err)
}

// resume attaches the subscription, if that is possible now and needed, and
// says so.
func (s *subscription) resume(why error) {
	if s.ctx.Err() != nil {
		return
	}
	if why != nil {
		s.b.log().Warn("subscription interrupted; it resumes by itself", "from", s.src.Address, "error", why)
	}
	if !s.attach() {
		return
	}
	if why != nil {
		s.b.log().Info("subscription resumed", "from", s.src.Address)
	}
	if s.src.Ready != nil {
		s.src.Ready()
	}
}

// attach makes the subscription active at its queue, which it declares with
// the properties that it knows of it. It says whether it did.
func (s *subscription) attach() bool {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing || b.down || s.ctx.Err() != nil {
		return false
	}
	if !s.src.AutoAck { // which has no dead letters
		b.declare(messaging.QueueSpec{Name: s.src.Retry.DeadLetter.Name()})
	}
	q := b.declare(s.spec)
	s.spec = q.spec
	if s.src.Address.IsTopic() {
		b.bind(q, &s.src)
	}

	q.mu.Lock()
	defer q.unlock()
	if _, member := q.members[s.consumer]; !member {
		s.consumer = &consumer{sub: s, q: q, credit: s.src.Prefetch, desk: newDesk(s.src.Prefetch, q.spec)}
		s.current.Store(s.consumer)
		q.members[s.consumer] = struct{}{}
	}
	if s.consumer.attached {
		return false
	}
	q.attach(s.consumer)
	return true
}

// interrupt makes the subscription attach again, if it has to. One reason is
// enough: resume finds out by itself what there is to do.
func (s *subscription) interrupt(why error) {
	select {
	case s.trouble <- why:
	default:
	}
}

// next waits for a message to handle; nil is that there will be no more.
func (s *subscription) next(ctx context.Context) messaging.Job {
	for {
		e := s.receive(ctx)
		if e == nil {
			return nil
		}
		if !s.expired(e) {
			e.out = e.delivery(s.src.Address)
			return e
		}
	}
}

// expired drops a message whose own TTL has ended while it was on the desk.
func (s *subscription) expired(e *entry) bool {
	if e.deadline == 0 || !e.expired(s.b.now()) {
		return false
	}
	e.Settle(messaging.Decision{Action: messaging.Acknowledge})
	return true
}

// stop ends the intake for good. What handlers hold stays held.
func (s *subscription) stop() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.consumer == nil {
		return
	}
	q := s.consumer.q
	q.mu.Lock()
	defer q.unlock()
	q.detach(s.consumer)
	q.dispatch()
}
