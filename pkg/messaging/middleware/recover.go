package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/warrenmq/warren/pkg/messaging"
)

// PanicError is what a panic of a handler becomes.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of the goroutine, as debug.Stack has it
}

// Error returns the value of the panic; the stack is for the log.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// Recover makes an error of a handler's panic, a [*PanicError], and logs it
// with its stack. A nil logger is slog.Default().
//
// A subscription survives a panic without it. Recover is for the middleware
// around it, which then sees an error: [Log], a circuit breaker, a trace.
//
// Verdict: that of any other error, so the message is tried again as
// Source.Retry says; also where the handler panicked with an error that is a
// verdict. Draining: no effect.
func Recover(log *slog.Logger) messaging.Middleware {
	return func(next messaging.Handler) messaging.Handler {
		return func(ctx context.Context, d *messaging.Delivery) (err error) {
			id, from, attempt := d.ID, d.From, d.Attempt // the handler may change d
			defer func() {
				if p := recover(); p != nil {
					caught := &PanicError{Value: p, Stack: debug.Stack()}
					orDefault(log).ErrorContext(ctx, "handler panicked", "id", id, "from", from,
						"attempt", attempt, "panic", p, "stack", string(caught.Stack))
					err = caught
				}
			}()
			return next(ctx, d)
		}
	}
}

// orDefault is asked for each message: the default may be set later.
func orDefault(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}
