// Package producer is the work of the hello producer, without its flags and
// signals: it sends texts to a queue or a topic of any broker and says what
// became of them.
package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/time/rate"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Run sends what opts say and returns when the broker has confirmed it. The
// lines of standard input come from stdin. out gets a line for each message,
// where there are few, and a summary, where there is more than one.
//
// A message that the broker refuses does not stop the others; the error names
// the failed ones. Run stops before its end when ctx ends, when the broker is
// closed, or when it has not confirmed within the timeout. What is on its way
// when ctx ends is still waited for.
func Run(ctx context.Context, broker messaging.Broker, opts Options, stdin io.Reader, out io.Writer) (Summary, error) {
	if err := opts.Validate(); err != nil {
		return Summary{}, err
	}
	r := newRun(broker, opts.withDefaults(), out)
	if err := r.prepare(ctx); err != nil {
		return Summary{}, err
	}
	started := time.Now()
	err := r.sendAll(ctx, r.source(ctx, stdin))
	r.sum.Elapsed = time.Since(started)
	r.sum.P50, r.sum.P99 = r.latency.quantiles()
	r.clearBar()
	if r.opts.stdin() || r.opts.total() > 1 {
		r.out.Printf(" [*] %s\n", r.sum)
	}
	return r.sum, errors.Join(err, r.failures.err(), r.out.Err())
}

// run is the state of one Run.
type run struct {
	broker   messaging.Broker
	opts     Options
	to       messaging.Address
	out      *cli.Output
	bar      *progressbar.ProgressBar // nil where there is none
	limiter  *rate.Limiter            // nil without --rate
	sum      Summary
	latency  latency
	failures failures
}

func newRun(broker messaging.Broker, opts Options, out io.Writer) *run {
	r := &run{
		broker: broker, opts: opts, out: cli.NewOutput(out),
		to:      opts.to(),
		latency: newLatency(),
	}
	if opts.Rate > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(opts.Rate), opts.batchSize())
	}
	if opts.Bar != nil && !opts.Quiet && !opts.lines() {
		r.bar = progressbar.NewOptions(opts.total(), progressbar.OptionSetWriter(opts.Bar),
			progressbar.OptionSetDescription("sending"), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("msg"), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return r
}

// prepare makes sure that the queue is there. A topic needs nobody to receive
// from it.
func (r *run) prepare(ctx context.Context) error {
	if r.to.IsTopic() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	return cli.PrepareQueue(ctx, r.broker, r.opts.Queue, r.opts.Declare)
}

func (r *run) source(ctx context.Context, stdin io.Reader) batches {
	if r.opts.stdin() {
		return lines(ctx, stdin, r.opts.batchSize())
	}
	return texts(r.opts.Args, max(r.opts.Count, 1), r.opts.batchSize())
}

func (r *run) sendAll(ctx context.Context, all batches) error {
	for bodies, err := range all {
		if err == nil && r.limiter != nil {
			err = r.limiter.WaitN(ctx, len(bodies))
		}
		if ctx.Err() != nil {
			return r.interrupted()
		}
		if err != nil {
			return err
		}
		if err := r.send(ctx, bodies); err != nil {
			return err
		}
	}
	return nil
}

// interrupted is an error where it is known that messages were not sent. For a
// stream, to be interrupted is to end.
func (r *run) interrupted() error {
	total := r.opts.total()
	if total == unknown {
		return nil
	}
	return fmt.Errorf("interrupted after %d of %d messages", r.sum.Sent+r.sum.Failed, total)
}

// send publishes one batch. Its error says why there is no point in going on.
func (r *run) send(ctx context.Context, bodies [][]byte) error {
	// What has been sent is waited for, also when the user wants to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.Timeout)
	defer cancel()

	msgs := r.messages(bodies)
	started := time.Now()
	err := r.broker.Publish(ctx, r.to, msgs...)
	took := time.Since(started)

	failed := &messaging.PublishError{}
	if err != nil && !errors.As(err, &failed) {
		return err // nothing of it was sent
	}
	confirmed := len(msgs) - len(failed.Failed)
	r.latency.record(took, confirmed)
	r.show(msgs, failed.Failed)
	r.failures.add(r.sum.Sent+r.sum.Failed, failed.Failed)
	r.sum.Sent += confirmed
	r.sum.Failed += len(failed.Failed)
	return r.hopeless(ctx, err)
}

func (r *run) messages(bodies [][]byte) []*messaging.Message {
	msgs := make([]*messaging.Message, len(bodies))
	for i, body := range bodies {
		msgs[i] = &messaging.Message{
			Key: r.opts.Key, ContentType: r.opts.ContentType, TTL: r.opts.TTL, Delay: r.opts.Delay,
			Headers: r.opts.Headers, Body: body,
		}
	}
	return msgs
}

// hopeless says why what comes next would fail like what failed now.
func (r *run) hopeless(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, messaging.ErrClosed):
		return errors.New("stopped: the broker was closed")
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("stopped: the broker did not confirm within --timeout %s", r.opts.Timeout)
	}
	return nil
}

// show prints a line for each message that was confirmed, or moves the bar.
func (r *run) show(msgs []*messaging.Message, failed []messaging.MessageError) {
	if r.bar != nil {
		_ = r.bar.Add(len(msgs)) // a terminal that is gone is no reason to stop
	}
	if !r.opts.lines() {
		return
	}
	var text bytes.Buffer
	for i, m := range msgs {
		if len(failed) > 0 && failed[0].Index == i {
			failed = failed[1:]
			continue
		}
		fmt.Fprintf(&text, " [x] Sent %s\n", cli.Quote(m.Body))
	}
	r.out.Printf("%s", text.Bytes())
}

// clearBar makes room for the summary.
func (r *run) clearBar() {
	if r.bar != nil {
		_ = r.bar.Clear()
	}
}
