package middleware

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Log writes one line for each message when its handler has returned: at level
// Info where it is done, and Warn with the error where not. A nil logger is
// slog.Default(). The line is written with the handler's context, so that a
// slog.Handler that knows about traces finds the one it belongs to; put Log
// inside of the middleware that starts the trace.
//
// The attributes are id, type, from, attempt, redelivered, duration, and
// verdict: the action's name, see [messaging.Action]. "again" is what the
// handler asked for: after the last attempt the subscription dead-letters the
// message all the same, and logs that.
//
// Verdict: the handler's own. Draining: no effect; what a handler leaves when
// Source.ShutdownTimeout is over is logged as "release".
func Log(log *slog.Logger) messaging.Middleware {
	return func(next messaging.Handler) messaging.Handler {
		return func(ctx context.Context, d *messaging.Delivery) error {
			seen := *d // the handler may change d
			start := time.Now()
			err := next(ctx, d)
			level, text := slog.LevelInfo, "handled message"
			if err != nil {
				level, text = slog.LevelWarn, "handler failed"
			}
			if to := orDefault(log); to.Enabled(ctx, level) {
				to.LogAttrs(ctx, level, text, attributes(ctx, &seen, time.Since(start), err)...)
			}
			return err
		}
	}
}

func attributes(ctx context.Context, d *messaging.Delivery, took time.Duration, err error) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("id", d.ID),
		slog.String("type", d.Type),
		slog.Any("from", d.From),
		slog.Int("attempt", d.Attempt),
		slog.Bool("redelivered", d.Redelivered),
		slog.Duration("duration", took),
		slog.String("verdict", verdict(ctx, d.Attempt, err).String()),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	return attrs
}

// verdict is what the handler asked for.
func verdict(ctx context.Context, attempt int, err error) messaging.Action {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return messaging.Release // as the subscription does after its shutdown timeout
	}
	return messaging.Decide(err, attempt, messaging.Retry{MaxAttempts: -1}).Action
}
