package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// consumer is a subscription on one connection: a channel with one consumer on
// it, from basic.consume to its end. Nothing of it works on another channel.
type consumer struct {
	s          *subscription
	gen        *generation
	ch         *amqp.Channel
	tag        string
	deliveries <-chan amqp.Delivery
	closed     <-chan *amqp.Error
	cancelled  <-chan string
	acks       *acker

	ctx  context.Context // of messages that move to another queue; ends with the consumer or the subscription
	end  context.CancelFunc
	once sync.Once
	over chan struct{} // closed when nothing is settled any more
	work chan struct{} // closed when the acker has ended

	way    sync.Mutex
	far    time.Duration // the longest delay for which the way through the wait queues is open
	opened time.Time     // when that was seen last
}

// consumerCount makes consumer tags differ within the process.
var consumerCount atomic.Uint64

// newConsumer declares what is missing and consumes.
func newConsumer(s *subscription, g *generation) (*consumer, error) {
	if err := s.declare(g); err != nil {
		return nil, err
	}
	ch, err := g.conn.Channel()
	if err != nil {
		return nil, err
	}
	c := &consumer{
		s: s, gen: g, ch: ch,
		tag:       fmt.Sprintf("%s#%d", s.b.cfg.name, consumerCount.Add(1)),
		closed:    ch.NotifyClose(make(chan *amqp.Error, 1)),
		cancelled: ch.NotifyCancel(make(chan string, 1)),
		acks:      newAcker(ch, s.src.Prefetch),
		over:      make(chan struct{}),
		work:      make(chan struct{}),
	}
	if err := c.consume(); err != nil {
		_ = ch.Close()
		return nil, err
	}
	c.ctx, c.end = context.WithCancel(s.last)
	s.b.tasks.Go(func() {
		defer close(c.work)
		c.acks.run(c.over)
	})
	return c, nil
}

// declare makes sure that there is what the subscription needs.
func (s *subscription) declare(g *generation) error {
	if q := s.b.specOf(s.queue); q != (messaging.QueueSpec{Name: s.queue}) {
		s.spec = q // and it stays, where this Broker itself deletes the queue
	}
	q := s.spec
	if isPrivate(s.src) {
		q.Exclusive, q.AutoDelete = true, true
	}
	var err error
	if s.src.Address.IsTopic() {
		err = s.b.ensureGroup(g, s.src, q)
	} else {
		err = s.b.ensure(g, q)
	}
	if err != nil || s.src.AutoAck { // which has no dead letters
		return err
	}
	if err := s.b.ensure(g, s.b.specOf(s.src.Retry.DeadLetter.Name())); err != nil {
		return fmt.Errorf("dead-letter %s: %w", s.src.Retry.DeadLetter, err)
	}
	return nil
}

// consume asks for messages: as many as may be unsettled, for this consumer
// and not for the channel or connection, which quorum queues refuse.
func (c *consumer) consume() (err error) {
	if err := c.ch.Qos(min(c.s.src.Prefetch, math.MaxUint16), 0, false); err != nil {
		return err
	}
	c.deliveries, err = c.ch.Consume(c.s.queue, c.tag, false, false, false, false, nil)
	return err
}

// errCancelled is why a consumer ended that the broker cancelled.
var errCancelled = errors.New("the broker cancelled the consumer; was its queue deleted?")

// watch returns why the consumer was lost, or nil when intake has ended.
func (c *consumer) watch(intake context.Context) error {
	select {
	case reply := <-c.closed:
		if reply == nil {
			return errCut
		}
		return explain(reply)
	case <-c.cancelled:
		return errCancelled
	case <-intake.Done():
		return nil
	}
}

// cancel ends the intake at the broker and puts back what has come and was
// not started.
func (c *consumer) cancel() {
	_ = c.ch.Cancel(c.tag, false) // fails only with the channel, which closes deliveries too
	for raw := range c.deliveries {
		c.acks.requeue(raw.DeliveryTag, false)
	}
}

// stop says that nothing more is settled.
func (c *consumer) stop() {
	c.once.Do(func() {
		c.end()
		close(c.over)
	})
}

// close ends the channel once everything is written, and waits for the broker
// to say so.
func (c *consumer) close() error {
	<-c.work
	if c.ch.IsClosed() {
		return amqp.ErrClosed
	}
	return c.ch.Close()
}

// accept makes a job of what has come, or nil where there is nothing to handle.
func (c *consumer) accept(raw amqp.Delivery) *job {
	c.gen.use()
	j := jobs.Get().(*job)
	j.raw, j.on, j.queue = raw, c, c.s.queue
	j.control = takeControl(&j.raw)
	if j.control.expired(&j.raw, time.Now()) {
		j.Settle(messaging.Decision{Action: messaging.Acknowledge})
		return nil
	}
	if err := j.decode(c.s.b.cfg, c.s.src.Address); err != nil {
		j.undecodable(c.s.b.cfg.log, c.s.src, err)
		return nil
	}
	return j
}

var _ messaging.Job = (*job)(nil)
