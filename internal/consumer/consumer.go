// Package consumer is the work of the worker consumer, without its flags and
// signals: it receives messages from a queue or a topic of any broker in one of
// the tutorial's three ways, works on them, and says what became of them.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Run consumes as opts say until ctx ends, no message came for the inactivity
// timeout, or, with Get, one message was handled. Then it drains: running work
// may finish, and what was not started is back in the queue. out gets a line
// about each message, and a summary.
func Run(ctx context.Context, broker messaging.Broker, opts Options, out io.Writer) (Summary, error) {
	if err := opts.Validate(); err != nil {
		return Summary{}, err
	}
	c := newConsumer(broker, opts.withDefaults(), out)
	if err := c.prepare(ctx); err != nil {
		return Summary{}, err
	}
	var err error
	switch c.opts.Mode {
	case Get:
		err = c.get(ctx)
	case Iterate:
		err = c.iterate(ctx)
	default:
		err = c.consume(ctx)
	}
	sum := c.summary()
	if c.opts.Mode != Get {
		c.out.Printf(" [*] %s\n", sum)
	}
	return sum, errors.Join(err, c.out.Err())
}

// consumer is the state of one Run.
type consumer struct {
	broker  messaging.Broker
	opts    Options
	out     *cli.Output
	handler messaging.Handler
	workers chan int // the numbers of the workers that are free
	waiting sync.Once

	mu  sync.Mutex
	sum Summary
}

func newConsumer(broker messaging.Broker, opts Options, out io.Writer) *consumer {
	c := &consumer{broker: broker, opts: opts, out: cli.NewOutput(out), workers: make(chan int, opts.Workers)}
	for i := range opts.Workers {
		c.workers <- i + 1
	}
	c.handler = c.handle
	if opts.Around != nil {
		c.handler = messaging.Chain(c.handle, opts.Around(opts.source()))
	}
	return c
}

// prepare makes sure that the queue or the group is there. A private
// subscription comes and goes with Run.
func (c *consumer) prepare(ctx context.Context) error {
	switch {
	case c.opts.Topic == "":
		return cli.PrepareQueue(ctx, c.broker, c.opts.Queue, c.opts.Declare)
	case c.opts.Group != "":
		return c.broker.Bind(ctx, c.opts.source())
	}
	return nil
}

// consume has the handler called until ctx ends or nothing comes any more.
func (c *consumer) consume(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := newInactivity(c.opts.InactivityTimeout, cancel)
	defer quiet.stop()

	src := c.opts.source()
	src.Ready = func() {
		c.announce()
		quiet.watch()
	}
	return c.broker.Subscribe(ctx, src, func(ctx context.Context, d *messaging.Delivery) error {
		quiet.begin()
		defer quiet.end()
		return c.handler(ctx, d)
	})
}

// iterate is a plain loop over the messages.
func (c *consumer) iterate(ctx context.Context) error {
	work, cancel := lingering(ctx, c.opts.ShutdownTimeout)
	defer cancel()
	src := c.opts.source()
	src.Ready = c.announce
	for m, err := range messaging.Messages(ctx, c.broker, src, c.opts.InactivityTimeout) {
		if err != nil {
			return err
		}
		if err := m.Settle(c.handler(work, &m.Delivery)); err != nil {
			return err
		}
	}
	return c.cut()
}

// get takes one message.
func (c *consumer) get(ctx context.Context) error {
	m, err := messaging.Get(ctx, c.broker, c.opts.source())
	if errors.Is(err, messaging.ErrEmpty) {
		c.out.Printf(" [*] No message in queue %s\n", cli.Quote([]byte(c.opts.source().Queue().Name())))
		return nil
	}
	if err != nil {
		return err
	}
	work, cancel := lingering(ctx, c.opts.ShutdownTimeout)
	defer cancel()
	if err := m.Settle(c.handler(work, &m.Delivery)); err != nil {
		return err
	}
	return c.cut()
}

// cut is the error for work that did not finish in time, where the caller of
// the handler does not know: Subscribe does.
func (c *consumer) cut() error {
	if n := c.summary().Returned; n > 0 {
		return fmt.Errorf("%d messages went back to the queue: their work did not finish within --shutdown-timeout %s",
			n, c.opts.ShutdownTimeout)
	}
	return nil
}

// announce says that the consumer is ready, once, and before anything else: a
// subscription becomes ready again after each reconnection, and the first
// message may come before the news of it. Get does not wait.
func (c *consumer) announce() {
	if c.opts.Mode == Get {
		return
	}
	c.waiting.Do(func() { c.out.Printf(" [*] Waiting for messages. To exit press CTRL+C\n") })
}
