package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
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
	// goroutine, and should not wait for the broker.
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
	// closed, as ShutdownTimeout does.
	Cut <-chan struct{}
	// Log gets panics and dead letters. nil is slog.Default().
	Log *slog.Logger
}

// cutGrace is how long handlers may take to return after their context was
// cancelled. One that does not is left behind, and its message released.
const cutGrace = time.Second

// Run handles messages until ctx ends, then waits for running handlers. It
// returns nil when all of them finished in time, otherwise an error that says
// how many did not; their messages have been released.
func (w Workers) Run(ctx context.Context) error {
	handlers, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := &run{Workers: w, ctx: ctx, handlers: handlers, workers: make([]worker, w.Source.Concurrency)}
	if r.Log == nil {
		r.Log = slog.Default()
	}
	if w.Source.OrderBy != nil {
		r.lanes = newLanes()
	}
	r.running.Add(len(r.workers))
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
	running  sync.WaitGroup
	left     atomic.Int64 // messages released because their handler did not finish in time
}

// worker is one of the goroutines that call the handler. busy says who may
// settle job: the worker itself, or drain after it gave up waiting.
type worker struct {
	job     Job
	attempt int // of job, which the handler may change
	busy    atomic.Bool
}

func (r *run) drain(cancelHandlers func()) error {
	idle := make(chan struct{})
	go func() { r.running.Wait(); close(idle) }()

	select {
	case <-idle: // only after ctx ended, or Next ended by itself
	case <-r.ctx.Done():
	}
	if r.Stop != nil {
		r.Stop()
	}
	r.releaseWaiting()
	if !waitFor(idle, r.Source.ShutdownTimeout, r.Cut) {
		cancelHandlers()
		if !waitFor(idle, cutGrace, nil) {
			r.abandon()
			r.releaseWaiting() // what came in while the intake was ending
		}
	}
	return r.unfinished()
}

func (r *run) unfinished() error {
	left := r.left.Load()
	if left == 0 {
		return nil
	}
	fate := "went back to the queue"
	if r.Source.AutoAck {
		fate = "were acknowledged before"
	}
	return fmt.Errorf("subscription to %s: %d handlers did not finish within the shutdown timeout (%s); their messages %s: %w",
		r.Source.Address, left, r.Source.ShutdownTimeout, fate, context.DeadlineExceeded)
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
func (r *run) work(w *worker, last Job) {
	normal := false
	defer func() {
		if !normal { // the handler called runtime.Goexit, as t.FailNow does
			r.finish(w, errors.New("the handler ended its goroutine (runtime.Goexit)"))
			go r.work(w, w.job)
			return
		}
		r.running.Done()
	}()
	for {
		if last = r.next(last); last == nil {
			break
		}
		r.handle(w, last)
	}
	normal = true
}

// next returns a message to handle now, nil when there will be no more.
func (r *run) next(last Job) Job {
	if r.lanes == nil {
		return r.Next(r.ctx)
	}
	if last != nil {
		if job := r.lanes.done(last); job != nil {
			return job
		}
	}
	return r.lanes.next(r.ctx, r.Next, r.Source.OrderBy)
}

func (r *run) handle(w *worker, job Job) {
	if r.ctx.Err() != nil { // came in while the intake was ending
		job.Settle(Decision{Action: Release})
		return
	}
	d := job.Delivery()
	w.job, w.attempt = job, d.Attempt
	w.busy.Store(true)
	if r.Source.AutoAck {
		job.Settle(Decision{Action: Acknowledge})
	}
	r.finish(w, r.call(d))
}

// finish settles w's job by the handler's verdict, unless drain has done so.
func (r *run) finish(w *worker, verdict error) {
	if !w.busy.CompareAndSwap(true, false) {
		return
	}
	d := w.job.Delivery()
	dec := Decide(verdict, w.attempt, r.Source.Retry)
	if r.Source.AutoAck {
		if verdict != nil {
			r.Log.Warn("handler failed; the message was acknowledged before", "id", d.ID, "from", d.From, "error", verdict)
		}
		return
	}
	if verdict != nil && r.handlers.Err() != nil {
		r.left.Add(1)
		dec = Decision{Action: Release, Err: verdict}
	}
	if dec.Action == DeadLetter {
		r.Log.Warn("dead-lettering message", "id", d.ID, "from", d.From, "to", r.Source.Retry.DeadLetter,
			"reason", dec.Reason, "attempt", w.attempt, "error", verdict)
	}
	w.job.Settle(dec)
}

// call runs the handler and makes an error of a panic.
func (r *run) call(d *Delivery) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v", p)
			r.Log.Error("handler panicked", "id", d.ID, "from", d.From, "attempt", d.Attempt,
				"panic", p, "stack", string(debug.Stack()))
		}
	}()
	return r.Handler(r.handlers, d)
}
