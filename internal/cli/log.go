package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	urfave "github.com/urfave/cli/v3"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The values of --log-format.
const (
	formatText = "text"
	formatJSON = "json"
)

// LogFlags are --log-format, --log-level and --verbose; [Log] reads them.
func LogFlags() []urfave.Flag {
	return []urfave.Flag{
		&urfave.StringFlag{
			Name: "log-format", Category: CategoryOutput, Value: formatText,
			Usage: "`FORMAT` of the log, which goes to standard error: text, or json, one object a line",
			Validator: func(format string) error {
				if format != formatText && format != formatJSON {
					return fmt.Errorf("must be %s or %s", formatText, formatJSON)
				}
				return nil
			},
		},
		&urfave.StringFlag{
			Name: "log-level", Category: CategoryOutput, DefaultText: "warn",
			Usage: "`LEVEL` from which on is logged: debug, info (a line for each message), warn or error",
			Validator: func(level string) error {
				_, err := parseLevel(level)
				return err
			},
		},
		&urfave.BoolFlag{
			Name: "verbose", Category: CategoryOutput,
			Usage: "the same as --log-level debug",
		},
	}
}

func parseLevel(text string) (slog.Level, error) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if levelName(level) == text {
			return level, nil
		}
	}
	return 0, fmt.Errorf("must be debug, info, warn or error")
}

func levelName(level slog.Level) string {
	return map[slog.Level]string{slog.LevelDebug: "debug", slog.LevelInfo: "info", slog.LevelWarn: "warn", slog.LevelError: "error"}[level]
}

// jsonLog is whether everything on standard error is JSON.
var jsonLog atomic.Bool

// Log makes the log go to stderr as the flags of cmd say: warnings and errors
// unless they say more.
func Log(stderr io.Writer, cmd *urfave.Command) error {
	level := slog.LevelWarn
	if cmd.IsSet("log-level") {
		level, _ = parseLevel(cmd.String("log-level")) // which the flag has validated
	}
	if cmd.Bool("verbose") {
		if cmd.IsSet("log-level") && level != slog.LevelDebug {
			return Usagef("--verbose and --log-level %s contradict each other", levelName(level))
		}
		level = slog.LevelDebug
	}
	setLog(stderr, cmd.String("log-format"), level)
	return nil
}

func setLog(stderr io.Writer, format string, level slog.Level) {
	opts := &slog.HandlerOptions{Level: level}
	jsonLog.Store(format == formatJSON)
	if format == formatJSON {
		slog.SetDefault(slog.New(traced{slog.NewJSONHandler(stderr, opts)}))
		return
	}
	slog.SetDefault(slog.New(traced{slog.NewTextHandler(stderr, opts)}))
}

// Notice tells whoever runs the program something that is neither its output
// nor trouble: as it is on a terminal, as a line of the log where that is JSON.
func Notice(stderr io.Writer, text string) {
	if jsonLog.Load() {
		slog.Info(text)
		return
	}
	say(stderr, " [*] %s\n", text)
}

// traced adds to what is logged about a message which trace it belongs to, under
// the names that OpenTelemetry has for logs that are not its own
// (https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/).
type traced struct{ slog.Handler }

const (
	traceIDKey = "trace_id"
	spanIDKey  = "span_id"
	// traceparentKey is what lines have that are written outside of any span:
	// the message's own trace context, see package messaging.
	traceparentKey = "traceparent"
)

// Handle implements [slog.Handler].
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String(traceIDKey, sc.TraceID().String()), slog.String(spanIDKey, sc.SpanID().String()))
	} else if sc := ownContext(r); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String(traceIDKey, sc.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// ownContext is the trace context of the message that a line is about.
func ownContext(r slog.Record) (sc trace.SpanContext) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != traceparentKey {
			return true
		}
		carrier := propagation.MapCarrier{traceparentKey: a.Value.String()}
		sc = trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
		return false
	})
	return sc
}

// WithAttrs implements [slog.Handler].
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

// WithGroup implements [slog.Handler].
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
