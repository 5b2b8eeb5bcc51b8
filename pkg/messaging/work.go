package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Job is one received message on its way through a handler. Adapters implement
// it for [Workers].
type Job interface {
	// Delivery is what the handler gets, and may change. Every call returns the
	// same pointer.
	Delivery() *Delivery
	// Settle carries out what was decided. It is called exactly once, by any
	// goroutine, and should not wait for the broker. The Job is not used after
	// that, though the Delivery may be, so that it can become another one.
	Settle(Decision)
}

// Workers runs the handlers of one subscription: so many at once, in the order
// that Source asks for, with panics caught, verdicts decided and the shutdown
// drained. Every adapter's Subscribe is a [Workers.Run] around its own Next.
type Workers struct {
	Source  Source // with its defaults filled in
	Handler Handler
	// Next waits for a message that may be handled, and returns nil when ctx
	// has ended. It is called by Concurrency goroutines at once, or by one at
	// a time where Source.OrderBy is set.
	Next func(ctx context.Context) Job
	// Stop, where not nil, is called once when ctx has ended, before running
	// handlers are waited for: the adapter returns to the queue what it had
	// received and not handed out.
	Stop func()
	// Cut, where not nil, ends the waiting for running handlers when it is
	// closed, as ShutdownTimeout does. Close is about to miss its deadline:
	// Run returns 50 ms later at most.
	Cut <-chan struct{}
	// Log gets panics, dead letters and, at most once a second, failed handlers
	// with AutoAck. nil is slog.Default().
	Log *slog.Logger
}

// The time that handlers may take to return after their context was cancelled,
// by the ShutdownTimeout and by Cut. One that does not is left behind, and its
// message released.
const (
	timeoutGrace = time.Second
	cutGrace     = 50 * time.Millisecond
)

// Run handles messages until ctx ends, then waits for running handlers. It
// returns nil when all of them finished in time, otherwise an error that says
// how many did not, and leaves it to the adapter to say of which subscription;
// their messages have been released.
func (w Workers) Run(ctx context.Context) error {
	handlers, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := &run{Workers: w, ctx: ctx, handlers: handlers, workers: make([]worker, w.Source.Concurrency), idle: make(chan struct{})}
	if r.Log == nil {
		r.Log = slog.Default()
	}
	r.failures.log = r.Log
	defer r.failures.end(w.Source.Address)
	if w.Source.OrderBy != nil {
		r.lanes = newLanes()
	}
	r.running.Store(int64(len(r.workers)))
	for i := range r.workers {
		go r.work(&r.workers[i], nil)
	}
	return r.drain(cancel)
}

// run is the state of one Workers.Run.
type run struct {
	Workers
	ctx      context.Context // ends intake
	handlers context.Context // what handlers get; outlives ctx
	lanes    *lanes          // nil without OrderBy
	workers  []worker
	running  atomic.Int64  // workers that have not ended
	idle     chan struct{} // closed when all have
	failures failures      // with AutoAck
	left     atomic.Int64  // messages released because their handler did not finish in time
	told     int           // handlers that were running when Cut ended their time
}

// worker is one of the goroutines that call the handler. busy says who may
// settle job: the worker itself, or drain after it gave up waiting.
type worker struct {
	job     Job
	d       *Delivery // of job
	attempt int       // of job, which the handler may change
	busy    atomic.Bool
}

func (r *run) drain(cancelHandlers func()) error {
	select {
	case <-r.idle: // only after ctx ended, or Next ended by itself
	case <-r.ctx.Done():
	}
	if r.Stop != nil {
		r.Stop()
	}
	r.releaseWaiting()
	if !waitFor(r.idle, r.Source.ShutdownTimeout, r.Cut) {
		if r.isCut() {
			r.told = r.busy()
		}
		cancelHandlers()
		if !waitFor(r.idle, timeoutGrace, r.Cut) && (!r.isCut() || !waitFor(r.idle, cutGrace, nil)) {
			r.abandon()
			r.releaseWaiting() // what came in while the intake was ending
		}
	}
	return r.unfinished()
}

func (r *run) isCut() bool {
	select {
	case <-r.Cut:
		return true
	default:
		return false
	}
}

// busy is how many handlers are running.
func (r *run) busy() int {
	n := 0
	for i := range r.workers {
		if r.workers[i].busy.Load() {
			n++
		}
	}
	return n
}

func (r *run) unfinished() error {
	left := r.left.Load()
	switch {
	case left > 0:
	case r.told > 0:
		return fmt.Errorf("%d handlers were still running when the broker was closed, and ended when they were told to: %w",
			r.told, context.DeadlineExceeded)
	default:
		return nil
	}
	limit := fmt.Sprintf("within the shutdown timeout (%s)", r.Source.ShutdownTimeout)
	if r.isCut() {
		limit = "before the broker was closed"
	}
	fate := "went back to the queue"
	if r.Source.AutoAck {
		fate = "were acknowledged before"
	}
	return fmt.Errorf("%d handlers did not finish %s; their messages %s: %w", left, limit, fate, context.DeadlineExceeded)
}

// waitFor says whether done came before the timeout and before cut.
func waitFor(done <-chan struct{}, timeout time.Duration, cut <-chan struct{}) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-cut:
	}
	select { // both may be true: what is done is done
	case <-done:
		return true
	default:
		return false
	}
}

// abandon releases what the handlers hold that did not return.
func (r *run) abandon() {
	for i := range r.workers {
		if w := &r.workers[i]; w.busy.CompareAndSwap(true, false) {
			r.left.Add(1)
			if !r.Source.AutoAck {
				w.job.Settle(Decision{Action: Release, Err: context.DeadlineExceeded})
			}
		}
	}
}

func (r *run) releaseWaiting() {
	if r.lanes == nil {
		return
	}
	for _, job := range r.lanes.empty() {
		job.Settle(Decision{Action: Release})
	}
}

// work handles one message after another. last is the one that this worker has
// handled before, if any.
func (r *run) work(w *worker, last *Delivery) {
	normal := false
	defer func() {
		if !normal { // runtime.Goexit was called, as t.FailNow does
			if !w.busy.Load() { // it was Source.OrderBy
				last = nil
			}
			r.finish(w, errors.New("the handler ended its goroutine (runtime.Goexit)"))
			go r.work(w, last)
			return
		}
		if r.running.Add(-1) == 0 {
			close(r.idle)
		}
	}()
	for {
		job := r.next(last)
		if job == nil {
			break
		}
		last = job.Delivery()
		r.handle(w, job, last)
	}
	normal = true
}

// next returns a message to handle now, nil when there will be no more.
func (r *run) next(last *Delivery) Job {
	if r.lanes == nil {
		return r.Next(r.ctx)
	}
	if last != nil {
		if job := r.lanes.done(last); job != nil {
			return job
		}
	}
	return r.lanes.next(r.ctx, r.Next, r.keyOf)
}

// keyOf asks Source.OrderBy. Where that panics, or ends its goroutine, it is
// the verdict on the message, which no handler gets.
func (r *run) keyOf(job Job) (key string, ok bool) {
	d := job.Delivery()
	attempt := d.Attempt
	err := errors.New("Source.OrderBy ended its goroutine (runtime.Goexit)")
	defer func() {
		if err != nil {
			r.withoutKey(job, d, attempt, err)
		}
	}()
	err = guard(r.Log, "Source.OrderBy", d, func() error {
		key = r.Source.OrderBy(d)
		return nil
	})
	return key, err == nil
}

func (r *run) withoutKey(job Job, d *Delivery, attempt int, why error) {
	switch {
	case r.ctx.Err() != nil: // came in while the intake was ending
		job.Settle(Decision{Action: Release})
		return
	case r.Source.AutoAck:
		job.Settle(Decision{Action: Acknowledge})
	}
	r.settle(job, d, attempt, why)
}

func (r *run) handle(w *worker, job Job, d *Delivery) {
	if r.ctx.Err() != nil { // came in while the intake was ending
		job.Settle(Decision{Action: Release})
		return
	}
	w.job, w.d, w.attempt = job, d, d.Attempt
	w.busy.Store(true)
	if r.Source.AutoAck {
		job.Settle(Decision{Action: Acknowledge})
	}
	r.finish(w, r.call(w, d))
}

// finish settles w's job by the handler's verdict, unless drain has done so.
func (r *run) finish(w *worker, verdict error) {
	if w.busy.CompareAndSwap(true, false) {
		r.settle(w.job, w.d, w.attempt, verdict)
	}
}

// settle carries out the verdict on a message. With AutoAck that was done
// before.
func (r *run) settle(job Job, d *Delivery, attempt int, verdict error) {
	if r.Source.AutoAck {
		if verdict != nil {
			r.failures.add(d, verdict)
		}
		return
	}
	if verdict == nil { // nearly always
		job.Settle(Decision{Action: Acknowledge})
		return
	}
	dec := Decide(verdict, attempt, r.Source.Retry)
	if r.handlers.Err() != nil {
		r.left.Add(1)
		dec = Decision{Action: Release, Err: verdict}
	}
	if dec.Action == DeadLetter {
		r.Log.Warn("dead-lettering message", "id", d.ID, "from", d.From, "to", r.Source.Retry.DeadLetter,
			"reason", dec.Reason, "attempt", attempt, "error", verdict, traceOf(d))
	}
	job.Settle(dec)
}

// call runs the handler.
func (r *run) call(w *worker, d *Delivery) error {
	return guard(r.Log, "handler", d, func() error {
		verdict := r.Handler(r.handlers, d)
		if verdict == nil {
			return nil
		}
		return r.lastWord(verdict, w.attempt)
	})
}

// lastWord is the verdict. Where there is no further attempt, what a responder
// kept for one is said now.
func (r *run) lastWord(verdict error, attempt int) error {
	var kept *unanswered
	if !errors.As(verdict, &kept) {
		return verdict
	}
	if r.Source.AutoAck || Decide(verdict, attempt, r.Source.Retry).Action == DeadLetter {
		return kept.answer(r.handlers)
	}
	return verdict
}

// guard calls f, which is the user's, and makes an error of a panic.
func guard(log *slog.Logger, what string, d *Delivery, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", what, p)
			log.Error(what+" panicked", "id", d.ID, "from", d.From, "attempt", d.Attempt,
				"panic", p, "stack", string(debug.Stack()), traceOf(d))
		}
	}()
	return f()
}

// traceOf is what a line about d says of its trace: the header of W3C Trace
// Context, which is there where the sender traces. Without it, the zero Attr,
// which handlers leave out.
func traceOf(d *Delivery) slog.Attr {
	const traceparent = "traceparent"
	if v := d.Headers[traceparent]; v != "" {
		return slog.String(traceparent, v)
	}
	return slog.Attr{}
}
