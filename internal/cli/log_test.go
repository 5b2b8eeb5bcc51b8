package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"

	urfave "github.com/urfave/cli/v3"
	"go.opentelemetry.io/otel/trace"
)

// logged runs a program with these arguments that logs a line of each level, and
// returns what it wrote.
func logged(t *testing.T, args ...string) (lines []string, status int) {
	t.Helper()
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before); jsonLog.Store(false) })
	cmd, _, stderr := program(nil)
	cmd.Action = func(ctx context.Context, cmd *urfave.Command) error {
		if err := Log(cmd.ErrWriter, cmd); err != nil {
			return err
		}
		slog.DebugContext(ctx, "is debug")
		slog.InfoContext(ctx, "is info")
		slog.WarnContext(ctx, "is warn")
		slog.ErrorContext(ctx, "is error")
		Notice(cmd.ErrWriter, "Stopping")
		return errors.New("it failed at amqp://user:secret@host")
	}
	status = run(t.Context(), cmd, append([]string{"program"}, args...))
	return strings.Split(strings.TrimSpace(stderr.String()), "\n"), status
}

func TestLogLevel(t *testing.T) {
	for args, first := range map[string]string{
		"":                            "is warn",
		"--log-level error":           "is error",
		"--log-level warn":            "is warn",
		"--log-level info":            "is info",
		"--log-level debug":           "is debug",
		"--verbose":                   "is debug",
		"--verbose --log-level debug": "is debug",
	} {
		if lines, _ := logged(t, strings.Fields(args)...); !strings.Contains(lines[0], first) {
			t.Errorf("%q: the first line is %q, want %q", args, lines[0], first)
		}
	}
	if lines, status := logged(t, "--verbose", "--log-level", "warn"); status != StatusUsage ||
		!strings.Contains(lines[0], "--verbose and --log-level warn contradict each other") {
		t.Errorf("status %d: %q", status, lines)
	}
}

// With --log-format json, whatever is on standard error is JSON, and shows no
// password.
func TestLogFormat(t *testing.T) {
	lines, status := logged(t, "--log-format", "json", "--log-level", "info")
	if status != StatusFailed || len(lines) != 5 {
		t.Errorf("status %d and %d lines: %q", status, len(lines), lines)
	}
	for _, line := range lines {
		var entry struct{ Time, Level, Msg, Error string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level == "" || entry.Msg == "" {
			t.Errorf("%s: %v", line, err)
		}
		if strings.Contains(line, "secret") {
			t.Errorf("it shows the password: %s", line)
		}
	}
	if !strings.Contains(lines[4], "it failed at amqp://***@host") {
		t.Errorf("the last line is %s", lines[4])
	}
	lines, _ = logged(t)
	if got := lines[len(lines)-2:]; got[0] != " [*] Stopping" || got[1] != "program: it failed at amqp://***@host" {
		t.Errorf("as text, the last lines are %q", got)
	}
}

func TestTracesInTheLog(t *testing.T) {
	const traceID, spanID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	id, _ := trace.TraceIDFromHex(traceID)
	span, _ := trace.SpanIDFromHex(spanID)
	inSpan := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span}))
	const other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, test := range []struct {
		name string
		ctx  context.Context
		args []any
		want map[string]string
	}{
		{"nothing", t.Context(), nil, map[string]string{}},
		{"in a span", inSpan, nil, map[string]string{"trace_id": traceID, "span_id": spanID}},
		{"the message's own", t.Context(), []any{"traceparent", other}, map[string]string{"trace_id": "0af7651916cd43dd8448eb211c80319c"}},
		{"both", inSpan, []any{"traceparent", other}, map[string]string{"trace_id": traceID, "span_id": spanID}},
		{"no trace context", t.Context(), []any{"traceparent", "mine"}, map[string]string{}},
	} {
		var out bytes.Buffer
		slog.New(traced{slog.NewJSONHandler(&out, nil)}).With("a", 1).InfoContext(test.ctx, "line", test.args...)
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"trace_id", "span_id"} {
			if value, _ := got[key].(string); value != test.want[key] {
				t.Errorf("%s: %s is %q, want %q", test.name, key, value, test.want[key])
			}
		}
	}
}

func TestTracedIsAHandler(t *testing.T) {
	var out bytes.Buffer
	err := slogtest.TestHandler(traced{slog.NewJSONHandler(&out, nil)}, func() (all []map[string]any) {
		for line := range bytes.Lines(out.Bytes()) {
			var m map[string]any
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return all
	})
	if err != nil {
		t.Error(err)
	}
}
