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

// Subscribe implements [messaging.Subscriber]. Acknowledgements are sent
// together, within 3 ms and half of the prefetch.
//
// With Source.AutoAck, each message is acknowledged, and that is written to the
// connection, before its handler runs. It can come twice all the same where
// the connection breaks just then: AMQP does not answer acknowledgements.
//
// A topic is a durable exchange of type topic; one of another type that exists
// is used as it is. With type fanout, Source.Keys have no effect; with type
// direct, they are whole keys and no patterns, so "#", which stands for none,
// gets next to nothing. Group g of topic t is the durable queue t.g, bound with
// each of the keys; a key that a group was bound with before stays bound.
// Retries go back to that queue, and not to the topic.
//
// A private subscription has an exclusive queue. The broker deletes it when the
// subscription ends, and when its connection is lost, with the messages in it;
// then a new one is declared and bound before Source.Ready is called again.
//
// What the broker refuses when the subscription begins (no permission, a queue
// that is exclusive to somebody else) is an error; later it is logged, shown
// by Health and tried again.
func (b *Broker) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	src, err := messaging.CheckSubscribe(from, h)
	if err != nil {
		return err
	}
	doing := "subscribe to " + src.Address.String()
	if err := b.enterDrain(doing); err != nil {
		return err
	}
	defer b.drains.Done()
	if ctx.Err() != nil {
		return nil // it ended before it began
	}
	s := newSubscription(b, src)
	defer b.read(s.queue)()
	if err := s.run(ctx, h); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// subscription is one call of Subscribe. It outlives connections: each is a
// consumer of its own.
type subscription struct {
	b     *Broker
	src   messaging.Source
	queue string
	spec  messaging.QueueSpec // what the queue is declared with where it is missing; used by declare only

	last    context.Context // ends when nothing is waited for any more
	expire  context.CancelFunc
	handled chan struct{}  // closed when no handler runs any more
	moves   sync.WaitGroup // messages on their way to another queue

	reported string // the last trouble that was logged since there was a consumer; used by keep only

	present atomic.Pointer[consumer] // nil while there is none; changes under mu
	mu      sync.Mutex
	changed chan struct{} // closed when present changes
}

func newSubscription(b *Broker, src messaging.Source) *subscription {
	s := &subscription{
		b: b, src: src, queue: queueOf(src),
		handled: make(chan struct{}),
		changed: make(chan struct{}),
	}
	s.spec.Name = s.queue
	s.last, s.expire = context.WithCancel(b.life)
	return s
}

// farewellGrace is how long the broker may take to answer the last requests
// of a subscription whose ShutdownTimeout is over.
const farewellGrace = time.Second

func (s *subscription) run(ctx context.Context, h messaging.Handler) error {
	defer s.expire()
	intake, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.b.intake, stop)()

	var kept error
	var keeper sync.WaitGroup
	keeper.Go(func() {
		defer stop()
		kept = s.keep(intake)
	})
	err := messaging.Workers{Source: s.src, Handler: h, Next: s.next, Stop: s.limit, Cut: s.b.cut, Log: s.b.cfg.log}.Run(intake)
	close(s.handled)
	keeper.Wait()
	s.expire()
	s.moves.Wait()
	err = errors.Join(err, kept)
	if s.b.intake.Err() == nil {
		return err
	}
	if err != nil {
		s.b.abandoned()
	}
	return errors.Join(messaging.ErrClosed, err)
}

// limit is called when the intake has ended: from now on, time runs.
func (s *subscription) limit() {
	timer := time.AfterFunc(s.src.ShutdownTimeout+farewellGrace, s.expire)
	context.AfterFunc(s.last, func() { timer.Stop() })
}

// keep sees to it that there is a consumer until intake ends, then says
// goodbye.
func (s *subscription) keep(intake context.Context) error {
	failures, was := 0, false // in a row; whether there has been a consumer
	for {
		c, err := s.connect(intake)
		switch {
		case intake.Err() != nil:
			s.discard(c)
			return nil
		case err != nil && !was && code(err) != 0:
			return explain(err)
		case err != nil:
			failures++
		default:
			began := time.Now()
			s.enter(c)
			if err = c.watch(intake); err == nil {
				return s.farewell(c)
			}
			s.leave(c)
			was = true
			failures++
			switch {
			case time.Since(began) >= steady:
				failures = 0
			case c.gen.conn.IsClosed(): // how long to wait for the next is the link's to say, but for a message that ends each
				failures = 1
			}
		}
		var wait time.Duration
		if failures > 0 {
			wait = backoff(failures-1, reconnectFirst, reconnectMost)
		}
		s.report(err, failures+1, wait)
		pause(intake, wait)
	}
}

// report says that there is no consumer for now: in Health, and in the log
// once for each different reason, with the number of the next attempt and how
// long that waits.
func (s *subscription) report(err error, attempt int, wait time.Duration) {
	err = fmt.Errorf("subscription to %s: %w", s.src.Address, explain(err))
	s.b.note(err)
	if text := err.Error(); text != s.reported {
		s.reported = text
		s.b.cfg.log.Warn("lost a subscription, resuming it", "address", s.src.Address, "error", err, "attempt", attempt, "wait", wait)
	}
}

// connect makes a consumer. When intake ends meanwhile, what is made all the
// same is thrown away.
func (s *subscription) connect(intake context.Context) (*consumer, error) {
	var mu sync.Mutex
	var made *consumer
	gone := false
	err := s.b.ask(intake, func(g *generation) error {
		c, err := newConsumer(s, g)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && gone {
			c.stop()
			return c.close()
		}
		made = c
		return err
	})
	mu.Lock()
	defer mu.Unlock()
	gone = true
	return made, err
}

// discard closes a consumer without waiting for the broker's answer.
func (s *subscription) discard(c *consumer) {
	if c != nil {
		c.stop()
		s.b.tasks.Go(func() { _ = c.close() })
	}
}

func (s *subscription) set(c *consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present.Store(c)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *subscription) enter(c *consumer) {
	s.reported = ""
	s.set(c)
	s.b.countActive(1)
	s.b.cfg.log.Info("subscribed", "queue", s.queue, "consumer", c.tag)
	if s.src.Ready != nil {
		s.src.Ready()
	}
}

// leave gives up a consumer that was lost. Its messages come again.
func (s *subscription) leave(c *consumer) {
	s.set(nil)
	s.b.countActive(-1)
	s.discard(c)
}

// next waits for a message to handle.
func (s *subscription) next(ctx context.Context) messaging.Job {
	for ctx.Err() == nil {
		if j := s.atHand(); j != nil {
			return j
		}
		s.mu.Lock()
		c, changed := s.present.Load(), s.changed
		s.mu.Unlock()
		var deliveries <-chan amqp.Delivery
		if c != nil {
			deliveries = c.deliveries
		}
		select {
		case raw, open := <-deliveries:
			if open {
				if j := c.accept(raw); j != nil {
					return j
				}
				continue
			}
			select { // closed is no message: wait for the next consumer
			case <-changed:
			case <-ctx.Done():
			}
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// atHand returns a message that has come, or nil. Not to wait for anything else
// takes three locks less, which all workers share.
func (s *subscription) atHand() *job {
	c := s.present.Load()
	if c == nil {
		return nil
	}
	select {
	case raw, open := <-c.deliveries:
		if open {
			return c.accept(raw)
		}
	default:
	}
	return nil
}

// What is said where the last acknowledgements may be lost.
var (
	errDrainLost   = errors.New("the connection was lost while draining; what was settled last may be delivered again")
	errDrainSilent = errors.New("the broker did not answer in time while draining; what was settled last may be delivered again")
)

// farewell ends the consumer in order: no new messages, back with those that
// were not started, and when the handlers have ended, everything that they
// settled is settled at the broker, which its last answer proves.
func (s *subscription) farewell(c *consumer) error {
	defer s.b.countActive(-1)
	heard := s.within(c.cancel)
	<-s.handled
	s.moves.Wait()
	c.stop()
	var err error
	switch {
	case !heard || !s.within(func() { err = c.close() }):
		return errDrainSilent
	case err != nil:
		return errDrainLost
	}
	return nil
}

// within runs f, which waits for the broker, and says whether it ended in time.
func (s *subscription) within(f func()) bool {
	done := make(chan struct{})
	s.b.tasks.Go(func() { defer close(done); f() })
	select {
	case <-done:
		return true
	case <-s.last.Done():
		return false
	}
}
