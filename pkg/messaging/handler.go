package messaging

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Handler handles one delivery. The error that it returns is the verdict:
//
//	nil                 done: acknowledged, gone from the queue
//	Reject(err)         will never work: straight to the dead-letter queue
//	RetryAfter(d, err)  again, no sooner than d; counted as an attempt
//	Requeue(err)        back to the queue at once, not counted as an attempt
//	any other error     again, as Source.Retry says
//	a panic             an error like any other, with the stack in the log
//
// After Retry.MaxAttempts counted failures the message is dead-lettered. A
// verdict may be wrapped (fmt.Errorf with %w); the outermost one counts.
//
// The context stays live while the subscription drains, and ends when
// Source.ShutdownTimeout is over. What a handler then leaves with an error
// goes back to its queue.
type Handler func(ctx context.Context, d *Delivery) error

// Middleware wraps a Handler with something that is done around it.
type Middleware func(Handler) Handler

// Chain wraps h in mw, the first of them outermost: Chain(h, a, b) is a(b(h)).
func Chain(h Handler, mw ...Middleware) Handler {
	for i := len(mw) - 1; i >= 0; i-- {
		h = mw[i](h)
	}
	return h
}

// verdict is what Reject, RetryAfter and Requeue return.
type verdict struct {
	action Action
	wait   time.Duration
	to     Address
	err    error
}

func (v *verdict) Error() string {
	switch {
	case v.err != nil:
		return v.err.Error()
	case v.action == DeadLetter:
		return "rejected"
	case v.action == Release:
		return "requeued"
	case v.action == Move:
		return "moved to " + v.to.String()
	default:
		return fmt.Sprintf("retry after %s", v.wait)
	}
}

func (v *verdict) Unwrap() error { return v.err }

// Reject says that a message will never work: it goes straight to the
// dead-letter queue. err is the reason and may be nil.
func Reject(err error) error { return &verdict{action: DeadLetter, err: err} }

// RetryAfter says that a message is to be tried again, no sooner than d. It
// counts as a failed attempt, so the last attempt is dead-lettered all the
// same. A negative d is 0; more than [MaxDelay] is MaxDelay. err is the reason
// and may be nil.
func RetryAfter(d time.Duration, err error) error {
	return &verdict{action: Again, wait: min(max(d, 0), MaxDelay), err: err}
}

// Requeue returns a message to its queue at once, for somebody else to handle.
// It is not counted as an attempt, so a message that every consumer requeues
// goes round for ever. err is the reason and may be nil.
func Requeue(err error) error { return &verdict{action: Release, err: err} }

// moveTo is the verdict of [Redrive].
func moveTo(to Address) error { return &verdict{action: Move, to: to} }

// Action is what an adapter does with a delivery.
type Action uint8

// The actions, see [Decision].
const (
	Acknowledge Action = iota // it is done: gone from the queue
	Release                   // back to its place in the queue, not counted
	Again                     // back to the queue after Decision.Wait, counted
	DeadLetter                // to the dead-letter queue, with the reason
	Move                      // to the tail of the queue Decision.To, as a new message
)

// String returns the name of the action in lower case.
func (a Action) String() string {
	return nameOf([]string{"acknowledge", "release", "again", "dead-letter", "move"}, int(a), "Action")
}

// The values of [HeaderDeadReason].
const (
	ReasonRejected    = "rejected"    // a handler returned Reject
	ReasonAttempts    = "attempts"    // Retry.MaxAttempts were used up
	ReasonUndecodable = "undecodable" // the adapter could not make a Delivery of it
)

// Decision is what a verdict means for one delivery; see [Decide].
type Decision struct {
	Action Action
	Wait   time.Duration // with Again: how long until the next attempt
	Reason string        // with DeadLetter: one of the Reason constants
	To     Address       // with Move: the queue; attempts start anew, and the headers of a dead letter go
	Err    error         // the handler's error; nil with Acknowledge, and with Release of what no handler saw
}

// Decide says what a handler's error means at an attempt (1 is the first). It
// is the only place where that is decided: every adapter carries out what it
// returns. r must have its defaults filled in, as [Source.WithDefaults] does.
func Decide(err error, attempt int, r Retry) Decision {
	if err == nil {
		return Decision{Action: Acknowledge}
	}
	v := &verdict{action: Again, wait: -1}
	errors.As(err, &v)
	switch {
	case v.action == Release:
		return Decision{Action: Release, Err: err}
	case v.action == Move:
		return Decision{Action: Move, To: v.to, Err: err}
	case v.action == DeadLetter:
		return Decision{Action: DeadLetter, Reason: ReasonRejected, Err: err}
	case r.MaxAttempts >= 0 && attempt >= r.MaxAttempts:
		return Decision{Action: DeadLetter, Reason: ReasonAttempts, Err: err}
	case v.wait >= 0:
		return Decision{Action: Again, Wait: v.wait, Err: err}
	default:
		return Decision{Action: Again, Wait: r.backoff(attempt), Err: err}
	}
}
