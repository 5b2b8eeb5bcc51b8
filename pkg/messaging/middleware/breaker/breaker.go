// Package breaker is middleware that stops handling for a while when everything
// fails, with the circuit breaker of github.com/sony/gobreaker: messages wait
// in their queue while a database is down, and are not dead-lettered one after
// another.
package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Hold is how long a message is kept that arrives while the circuit is open.
// It sets the pace at which messages go round then: one a Hold for each worker.
const Hold = time.Second

// New returns middleware with a breaker of its own. By default it opens after
// more than 5 failures in a row, for 60 seconds, and then lets one message
// through to see; gobreaker.Settings say otherwise.
//
// A failure is an error that is no verdict, RetryAfter, or a panic. nil and
// Reject are successes: what the handler needs is there, and the message is to
// blame. Requeue, and an error when the context was cancelled, are neither.
// Settings.IsSuccessful and IsExcluded replace that.
//
// Verdict: the handler's own while the circuit is closed. A message that
// arrives while it is open, or half open with enough others on trial, is not
// handled: it is held for [Hold] and goes back to its queue, which is not
// counted as an attempt. Its error is gobreaker.ErrOpenState or
// ErrTooManyRequests.
//
// Draining: what is held goes back to its queue, after Hold at the latest.
func New(settings gobreaker.Settings) messaging.Middleware {
	if settings.IsSuccessful == nil {
		settings.IsSuccessful = func(err error) bool {
			a := action(err)
			return a == messaging.Acknowledge || a == messaging.DeadLetter
		}
	}
	if settings.IsExcluded == nil {
		settings.IsExcluded = func(err error) bool {
			return action(err) == messaging.Release || errors.Is(err, errCut)
		}
	}
	circuit := gobreaker.NewTwoStepCircuitBreaker[struct{}](settings)
	return func(next messaging.Handler) messaging.Handler {
		return func(ctx context.Context, d *messaging.Delivery) error {
			done, err := circuit.Allow()
			if err != nil {
				hold(ctx)
				return messaging.Requeue(fmt.Errorf("not handled: %w", err))
			}
			return call(ctx, d, next, done)
		}
	}
}

var (
	errPanic = errors.New("the handler did not return")
	errCut   = errors.New("the handler was cut")
)

// call reports how the handler ended, also where it did not return: a report
// that is missing would keep the circuit half open for ever.
func call(ctx context.Context, d *messaging.Delivery, next messaging.Handler, done func(error)) (err error) {
	report := errPanic
	defer func() { done(report) }()
	err = next(ctx, d)
	report = err
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		report = errors.Join(errCut, err)
	}
	return err
}

func action(err error) messaging.Action {
	return messaging.Decide(err, 1, messaging.Retry{MaxAttempts: -1}).Action
}

func hold(ctx context.Context) {
	timer := time.NewTimer(Hold)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
