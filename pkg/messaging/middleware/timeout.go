package middleware

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Timeout ends the handler's context d after it was called. 0 or less is no
// limit. It cannot stop a handler that does not look at its context: choose
// calls that take one.
//
// Verdict: the handler's own. One that returns the context's error has failed
// like any other, and is tried again as Source.Retry says; the error then says
// what the limit was, and is context.DeadlineExceeded as before. One that
// returns nil in spite of it is done. Draining: the context also ends with
// Source.ShutdownTimeout, whichever is sooner, and what is left then goes back
// to its queue.
func Timeout(d time.Duration) messaging.Middleware {
	return func(next messaging.Handler) messaging.Handler {
		if d <= 0 {
			return next
		}
		return func(ctx context.Context, m *messaging.Delivery) error {
			over := fmt.Errorf("the handler's time limit of %s is over: %w", d, context.DeadlineExceeded)
			limited, cancel := context.WithTimeoutCause(ctx, d, over)
			defer cancel()
			err := next(limited, m)
			if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(limited), over) && !errors.Is(err, over) {
				return fmt.Errorf("the handler's time limit of %s is over: %w", d, err)
			}
			return err
		}
	}
}
