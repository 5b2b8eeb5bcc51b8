package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/consumer"
	"github.com/warrenmq/warren/internal/producer"
	"github.com/warrenmq/warren/pkg/messaging"
)

// handful is what is sent where no texts are given: about two seconds of work
// for two workers.
var handful = []string{
	"Hello World!", "First message.", "Second message..", "Third message...", "Fourth message....", "Fifth message.....",
}

// cleanUpTimeout is how long deleting the queue may take.
const cleanUpTimeout = 5 * time.Second

// demo is one run of the producer and the workers.
type demo struct {
	queue   string
	texts   []string // none is the handful
	workers int
	work    time.Duration
	cleanUp bool // delete the queue in the end
}

func (d demo) sending() producer.Options {
	texts := d.texts
	if len(texts) == 0 {
		texts = handful
	}
	return producer.Options{Queue: d.queue, Args: texts}
}

func (d demo) receiving() consumer.Options {
	return consumer.Options{Queue: d.queue, Workers: d.workers, Work: d.work}
}

func (d demo) validate() error {
	if slices.Contains(d.texts, "-") {
		return cli.Usagef("hello takes texts only, and - (standard input) was given; the producer takes it")
	}
	return errors.Join(d.sending().Validate(), d.receiving().Validate())
}

// run sends the texts, and returns when workers have handled all of them.
func (d demo) run(ctx context.Context, broker messaging.Broker, out io.Writer) (err error) {
	if d.cleanUp {
		defer func() { err = errors.Join(err, d.delete(ctx, broker)) }()
	}
	sent, err := producer.Run(ctx, broker, d.sending(), strings.NewReader(""), out)
	if err != nil {
		return err
	}
	return d.consume(ctx, broker, sent.Sent, out)
}

func (d demo) consume(ctx context.Context, broker messaging.Broker, count int, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left := atomic.Int64{}
	left.Store(int64(count))
	opts := d.receiving()
	opts.Handled = func(_ *messaging.Delivery, verdict error) {
		if verdict == nil && left.Add(-1) == 0 {
			cancel()
		}
	}
	sum, err := consumer.Run(ctx, broker, opts, out)
	if err == nil && sum.Acknowledged < count {
		err = fmt.Errorf("interrupted after %d of %d messages", sum.Acknowledged, count)
	}
	return err
}

// delete removes the queue and the one for its dead letters.
func (d demo) delete(ctx context.Context, broker messaging.Broker) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	queue := messaging.Queue(d.queue)
	dead := messaging.Source{Address: queue}.WithDefaults().Retry.DeadLetter
	return errors.Join(broker.Delete(ctx, queue), broker.Delete(ctx, dead))
}
