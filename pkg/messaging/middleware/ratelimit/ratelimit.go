// Package ratelimit is middleware that handles no more messages a second than a
// limiter of golang.org/x/time/rate lets through.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/warrenmq/warren/pkg/messaging"
)

// New makes each message wait for its turn at limiter before it is handled.
// Several subscriptions may share a limiter, and are then limited together.
// Each attempt counts.
//
// Verdict: the handler's own. A message whose context ends while it waits (the
// subscription's shutdown timeout, or a middleware.Timeout around this one) goes
// back to its queue, not counted as an attempt: nothing was done with it. So
// does one that a limiter with a burst of 0 would never let through.
//
// Draining: the messages that wait, at most as many as Source.Concurrency, get
// their turn first. Where that takes longer than Source.ShutdownTimeout, they
// go back to the queue then.
func New(limiter *rate.Limiter) messaging.Middleware {
	return By(func(*messaging.Delivery) *rate.Limiter { return limiter })
}

// By is [New] with a limiter that is chosen for each message, such as one for
// each customer. nil is no limit. choose is called by many goroutines.
//
// A message that waits keeps its worker: with OrderBy or one slow customer,
// give the subscription enough Concurrency, or the others queue up behind.
func By(choose func(*messaging.Delivery) *rate.Limiter) messaging.Middleware {
	return func(next messaging.Handler) messaging.Handler {
		return func(ctx context.Context, d *messaging.Delivery) error {
			if err := wait(ctx, choose(d)); err != nil {
				return messaging.Requeue(fmt.Errorf("rate limit: %w", err))
			}
			return next(ctx, d)
		}
	}
}

// wait is Limiter.Wait, except that a deadline which is too near is waited for:
// an error at once would send the message round in circles.
func wait(ctx context.Context, limiter *rate.Limiter) error {
	if limiter == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	turn := limiter.Reserve()
	if !turn.OK() {
		return hold(ctx)
	}
	delay := turn.Delay()
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return ctx.Err()
	}
}

// never is how long a message is held that no turn will come for.
const never = time.Second

// hold keeps a message for a moment, so that its return to the queue is no
// busy loop.
func hold(ctx context.Context) error {
	timer := time.NewTimer(never)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return errors.New("the limiter's burst is 0, so it lets nothing through; give it one of at least 1")
}
