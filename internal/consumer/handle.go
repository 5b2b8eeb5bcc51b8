package consumer

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Summary is what became of the messages of a Run.
type Summary struct {
	Received     int // how often a message was received, retries included
	Acknowledged int // the work on it was done
	Failed       int // it failed, and is tried again or dead-lettered
	Returned     int // the work was cut off, and it is back in the queue
}

// String is one line.
func (s Summary) String() string {
	return fmt.Sprintf("Received %d, acknowledged %d, failed %d, returned to the queue %d",
		s.Received, s.Acknowledged, s.Failed, s.Returned)
}

func (c *consumer) summary() Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

func (c *consumer) count(f func(*Summary)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.sum)
}

// handle is the handler, whatever the mode.
func (c *consumer) handle(ctx context.Context, d *messaging.Delivery) error {
	worker := <-c.workers // never waits: there are as many as handlers at once
	defer func() { c.workers <- worker }()

	c.announce()
	text := cli.Quote(d.Body)
	c.count(func(s *Summary) { s.Received++ })
	c.say(" [x] Received %s%s%s\n", text, c.note(d), c.by(worker))

	verdict := c.work(ctx, d.Body)
	switch {
	case verdict == nil:
		c.count(func(s *Summary) { s.Acknowledged++ })
		if c.opts.Work > 0 {
			c.say(" [x] Done%s\n", c.by(worker))
		}
	case ctx.Err() != nil:
		c.count(func(s *Summary) { s.Returned++ })
		c.say(" [!] Cut off %s%s\n", text, c.by(worker))
		verdict = messaging.Requeue(verdict)
	default:
		c.count(func(s *Summary) { s.Failed++ })
		c.say(" [!] Failed %s: %v%s\n", text, verdict, c.by(worker))
	}
	if c.opts.Handled != nil {
		c.opts.Handled(d, verdict)
	}
	return verdict
}

// work takes a while for every dot in the text, as in the Worker tutorial.
func (c *consumer) work(ctx context.Context, body []byte) error {
	dots := bytes.Count(body, []byte("."))
	if err := pause(ctx, time.Duration(dots)*c.opts.Work); err != nil {
		return err
	}
	if c.opts.FailOn != "" && bytes.Contains(body, []byte(c.opts.FailOn)) {
		return fmt.Errorf("it contains %q (--fail-on)", c.opts.FailOn)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *consumer) say(format string, args ...any) {
	if !c.opts.Quiet {
		c.out.Printf(format, args...)
	}
}

// by says which worker it was, where there are several.
func (c *consumer) by(worker int) string {
	if c.opts.Workers == 1 {
		return ""
	}
	return fmt.Sprintf(" (worker %d)", worker)
}

// note says what is special about a delivery, and which routing key it had on
// its way through a topic.
func (c *consumer) note(d *messaging.Delivery) string {
	if c.opts.Topic != "" && d.Key != "" {
		return fmt.Sprintf(" (key %s)", cli.Quote([]byte(d.Key))) + note(d)
	}
	return note(d)
}

// note says what is special about a delivery.
func note(d *messaging.Delivery) string {
	switch {
	case d.Attempt > 1:
		return fmt.Sprintf(" (attempt %d)", d.Attempt)
	case d.Redelivered:
		return " (redelivered)"
	}
	return ""
}

// lingering returns a context that ends some time after ctx does.
func lingering(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	linger, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-linger.Done():
		}
	})
	return linger, func() { stop(); cancel() }
}
