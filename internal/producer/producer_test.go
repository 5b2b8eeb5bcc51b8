package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }

// send runs the producer and fails the test where it fails.
func send(t *testing.T, broker messaging.Broker, opts Options, stdin string) (Summary, string) {
	t.Helper()
	var out bytes.Buffer
	sum, err := Run(clitest.Context(t), broker, opts, strings.NewReader(stdin), &out)
	if err != nil {
		t.Fatal(err)
	}
	return sum, out.String()
}

func bodies(all []*messaging.Delivery) string {
	texts := make([]string, len(all))
	for i, d := range all {
		texts[i] = string(d.Body)
	}
	return strings.Join(texts, "|")
}

func TestHelloWorld(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		sum, out := send(t, broker, Options{Queue: queue}, "")
		if want := " [x] Sent 'Hello World!'\n"; out != want {
			t.Errorf("output is %q, want %q", out, want)
		}
		if sum.Sent != 1 || sum.Failed != 0 {
			t.Errorf("summary is %+v", sum)
		}
		d := clitest.Receive(t, broker, queue, 1)[0]
		if string(d.Body) != DefaultText || d.ID == "" || len(d.Headers) != 0 || d.ContentType != "" {
			t.Errorf("received %+v", d)
		}
	})
}

func TestDefaultQueue(t *testing.T) {
	broker := clitest.Open(t, "memory://")
	send(t, broker, Options{}, "")
	clitest.Receive(t, broker, "hello", 1)
}

func TestTexts(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		_, out := send(t, broker, Options{Queue: queue, Args: []string{"a", "", "訊息"}, Count: 2}, "")
		lines := strings.Split(out, "\n")
		want := []string{" [x] Sent 'a'", " [x] Sent ''", " [x] Sent '訊息'", " [x] Sent 'a'"}
		if got := strings.Join(lines[:4], "\n"); got != strings.Join(want, "\n") {
			t.Errorf("output is %q, want %q", got, want)
		}
		if !strings.HasPrefix(lines[6], " [*] Sent 6, failed 0 in ") || !strings.Contains(lines[6], "p50") {
			t.Errorf("summary is %q", lines[6])
		}
		if got := bodies(clitest.Receive(t, broker, queue, 6)); got != "a||訊息|a||訊息" {
			t.Errorf("received %q", got)
		}
	})
}

func TestLinesFromStandardInput(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		sum, out := send(t, broker, Options{Queue: queue, Args: []string{"-"}}, "one\ntwo\r\n\nno end")
		if sum.Sent != 4 || strings.Count(out, " [x] Sent ") != 4 {
			t.Errorf("sent %d, output is %q", sum.Sent, out)
		}
		if got := bodies(clitest.Receive(t, broker, queue, 4)); got != "one|two||no end" {
			t.Errorf("received %q", got)
		}
	})
}

func TestEmptyStandardInput(t *testing.T) {
	broker := clitest.Open(t, "memory://")
	if sum, _ := send(t, broker, Options{Args: []string{"-"}}, ""); sum.Sent != 0 {
		t.Errorf("sent %d messages", sum.Sent)
	}
}

func TestHeadersAndContentType(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		send(t, broker, Options{
			Queue: queue, Headers: map[string]string{"tenant": "acme", "none": ""}, ContentType: "application/json",
		}, "")
		d := clitest.Receive(t, broker, queue, 1)[0]
		value, ok := d.Headers["none"]
		if d.Headers["tenant"] != "acme" || value != "" || !ok || d.ContentType != "application/json" {
			t.Errorf("received %+v", d)
		}
	})
}

func TestManyAreSummedUp(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		const count = 1000
		sum, out := send(t, broker, Options{Queue: queue, Count: count}, "")
		if sum.Sent != count || sum.P50 <= 0 || sum.P99 < sum.P50 || sum.Elapsed <= 0 {
			t.Errorf("summary is %+v", sum)
		}
		if !strings.HasPrefix(out, " [*] Sent 1000, failed 0 in ") || strings.Count(out, "\n") != 1 {
			t.Errorf("output is %q, want a summary only", out)
		}
		if all := clitest.Receive(t, broker, queue, count); len(all) != count {
			t.Errorf("received %d", len(all))
		}
	})
}

func TestBar(t *testing.T) {
	broker := clitest.Open(t, "memory://")
	for _, test := range []struct {
		opts Options
		bar  bool
	}{
		{Options{Count: 21}, true},
		{Options{Count: 20}, false},
		{Options{Count: 21, Quiet: true}, false},
		{Options{Args: []string{"-"}}, false},
	} {
		var bar bytes.Buffer
		test.opts.Bar = &bar
		_, out := send(t, broker, test.opts, "line")
		if drawn := bar.Len() > 0; drawn != test.bar {
			t.Errorf("%+v: bar drawn: %t, want %t", test.opts, drawn, test.bar)
		}
		if test.bar && strings.Contains(out, "[x]") {
			t.Errorf("%+v: lines beside the bar: %q", test.opts, out)
		}
	}
}

func TestQuiet(t *testing.T) {
	broker := clitest.Open(t, "memory://")
	if _, out := send(t, broker, Options{Quiet: true}, ""); out != "" {
		t.Errorf("output is %q, want none", out)
	}
	if _, out := send(t, broker, Options{Quiet: true, Count: 3}, ""); strings.Count(out, "\n") != 1 {
		t.Errorf("output is %q, want the summary", out)
	}
}

func TestFailedMessagesAreNamed(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		// Transient is classic on RabbitMQ: a quorum queue takes a few more.
		spec := messaging.QueueSpec{Name: queue, MaxLength: 2, Transient: true}
		if err := broker.Declare(clitest.Context(t), spec); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		opts := Options{Queue: queue, Args: []string{"a", "b", "c", "d", "e"}}
		sum, err := Run(clitest.Context(t), broker, opts, nil, &out)
		if !errors.Is(err, messaging.ErrRejected) {
			t.Fatalf("error is %v, want %v", err, messaging.ErrRejected)
		}
		for _, name := range []string{"3 messages failed:", "\n  message 3 (", "\n  message 4 (", "\n  message 5 ("} {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not say %q: %v", name, err)
			}
		}
		if sum.Sent != 2 || sum.Failed != 3 {
			t.Errorf("summary is %+v", sum)
		}
		if !strings.HasPrefix(out.String(), " [x] Sent 'a'\n [x] Sent 'b'\n [*] Sent 2, failed 3 in ") {
			t.Errorf("output is %q", &out)
		}
		if got := bodies(clitest.Receive(t, broker, queue, 2)); got != "a|b" {
			t.Errorf("received %q", got)
		}
	})
}

// publisher is a broker whose Publish is a function.
type publisher struct {
	messaging.Broker
	publish func(ctx context.Context, msgs []*messaging.Message) error
}

func (p publisher) Publish(ctx context.Context, _ messaging.Address, msgs ...*messaging.Message) error {
	return p.publish(ctx, msgs)
}

// fail is the error of a Publish in which the messages at the positions
// failed.
func fail(msgs []*messaging.Message, err error, positions ...int) error {
	all := &messaging.PublishError{To: messaging.Queue(DefaultQueue)}
	for _, i := range positions {
		all.Failed = append(all.Failed, messaging.MessageError{Index: i, ID: fmt.Sprintf("id-%s", msgs[i].Body), Err: err})
	}
	return all
}

func TestFailuresDoNotStopTheRest(t *testing.T) {
	sent := 0
	broker := publisher{clitest.Open(t, "memory://"), func(_ context.Context, msgs []*messaging.Message) error {
		sent += len(msgs)
		return fail(msgs, messaging.ErrTooLarge, 0, len(msgs)-1)
	}}
	const count, batches = 256*7 + 2, 8
	sum, err := Run(t.Context(), broker, Options{Args: []string{"x"}, Count: count}, nil, io.Discard)
	if sent != count || sum.Failed != 2*batches || sum.Sent != count-2*batches {
		t.Errorf("tried %d, summary is %+v", sent, sum)
	}
	if !errors.Is(err, messaging.ErrTooLarge) {
		t.Fatalf("error is %v", err)
	}
	for _, text := range []string{"16 messages failed:", "\n  message 1 (id-x): ", "\n  message 256 (id-x): ",
		"\n  message 257 (id-x): ", "\n  message 1280 (id-x): ", "\n  and 6 more"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

func TestStopsWhenTheBrokerIsClosed(t *testing.T) {
	calls := 0
	broker := publisher{clitest.Open(t, "memory://"), func(_ context.Context, msgs []*messaging.Message) error {
		calls++
		return fail(msgs, messaging.ErrClosed, 1)
	}}
	sum, err := Run(t.Context(), broker, Options{Count: 1000}, nil, io.Discard)
	if calls != 1 || sum.Failed != 1 || sum.Sent != 255 {
		t.Errorf("%d calls, summary is %+v", calls, sum)
	}
	if !errors.Is(err, messaging.ErrClosed) || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("error is %v", err)
	}
}

func TestBadInputThatTheBrokerFinds(t *testing.T) {
	bad := errors.New("bad input")
	broker := publisher{clitest.Open(t, "memory://"), func(context.Context, []*messaging.Message) error { return bad }}
	if sum, err := Run(t.Context(), broker, Options{Count: 1000}, nil, io.Discard); !errors.Is(err, bad) || sum.Sent != 0 {
		t.Errorf("error is %v, summary is %+v", err, sum)
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := memory.New()
		defer broker.Close(t.Context())
		prepare(t, broker)
		broker.Block("no memory")
		started := time.Now()
		sum, err := Run(t.Context(), broker, Options{Count: 1000, Timeout: 7 * time.Second}, nil, io.Discard)
		if took := time.Since(started); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("took %s", took)
		}
		if !errors.Is(err, messaging.ErrBlocked) || !strings.Contains(err.Error(), "--timeout 7s") {
			t.Errorf("error is %v", err)
		}
		if sum.Failed != 256 {
			t.Errorf("summary is %+v; it should stop after the first batch", sum)
		}
	})
}

func prepare(t *testing.T, broker messaging.Manager) {
	t.Helper()
	if err := broker.Declare(t.Context(), messaging.QueueSpec{Name: DefaultQueue}); err != nil {
		t.Fatal(err)
	}
}

func TestRate(t *testing.T) {
	for _, test := range []struct {
		rate  float64
		count int
		took  time.Duration
	}{
		{10, 11, time.Second},
		{0.5, 3, 4 * time.Second},
		{1000, 3000, 2950 * time.Millisecond}, // the first 50 at once
	} {
		t.Run(fmt.Sprint(test.rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := memory.New()
				defer broker.Close(t.Context())
				sum, _ := send(t, broker, Options{Rate: test.rate, Count: test.count}, "")
				if sum.Elapsed.Round(time.Millisecond) != test.took || sum.Sent != test.count {
					t.Errorf("sent %d in %s, want %d in %s", sum.Sent, sum.Elapsed, test.count, test.took)
				}
			})
		})
	}
}

// Interruption lets what is on its way arrive, and sends no more.
func TestInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	broker := publisher{clitest.Open(t, "memory://"), func(ctx context.Context, _ []*messaging.Message) error {
		cancel()
		return ctx.Err()
	}}
	sum, err := Run(ctx, broker, Options{Count: 1000}, nil, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "interrupted after 256 of 1000 messages") || sum.Sent != 256 {
		t.Errorf("error is %v, summary is %+v", err, sum)
	}
}

func TestInterruptionWhileWaitingForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := memory.New()
		defer broker.Close(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		sum, err := Run(ctx, broker, Options{Count: 3, Rate: 1. / 60}, nil, io.Discard)
		if err == nil || sum.Sent != 2 {
			t.Errorf("error is %v, summary is %+v", err, sum)
		}
	})
}

func TestStandardInputIsAStream(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		in, keyboard := io.Pipe()
		screen := &clitest.Screen{}
		ctx, cancel := context.WithCancel(clitest.Context(t))
		ended := make(chan error, 1)
		go func() {
			_, err := Run(ctx, broker, Options{Queue: queue, Args: []string{"-"}}, in, screen)
			ended <- err
		}()
		for _, line := range []string{"one", "two"} {
			if _, err := io.WriteString(keyboard, line+"\n"); err != nil {
				t.Fatal(err)
			}
			screen.Await(t, " [x] Sent '"+line+"'\n", 1)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("a stream that was told to end returned %v", err)
		}
		screen.Await(t, " [*] Sent 2, failed 0", 1)
		_ = keyboard.Close() // the reading goroutine ends with the input
	})
}

// endless is an input of lines that counts what was read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "0123456\n"[i%8]
	}
	e.read += len(p)
	return len(p), nil
}

func TestStandardInputIsNotReadAhead(t *testing.T) {
	const enough, ahead = 1 << 20, 1 << 18
	ctx, cancel := context.WithCancel(t.Context())
	in, sent := &endless{}, 0
	broker := publisher{clitest.Open(t, "memory://"), func(_ context.Context, msgs []*messaging.Message) error {
		for _, m := range msgs {
			sent += len(m.Body) + 1
		}
		if sent > enough {
			cancel()
		}
		return nil
	}}
	_, err := Run(ctx, broker, Options{Args: []string{"-"}, Quiet: true}, in, io.Discard)
	if err != nil || in.read-sent > ahead {
		t.Errorf("read %d bytes and sent %d of them: %v", in.read, sent, err)
	}
}

func TestLineThatIsTooLong(t *testing.T) {
	broker := clitest.Open(t, "memory://")
	in := io.MultiReader(strings.NewReader("one\ntwo\n"), &endlessLine{})
	sum, err := Run(t.Context(), broker, Options{Args: []string{"-"}}, in, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "line 3 of standard input is longer than 16 MiB") {
		t.Errorf("error is %v", err)
	}
	if sum.Sent != 2 {
		t.Errorf("sent %d, want the lines before it", sum.Sent)
	}
}

type endlessLine struct{}

func (endlessLine) Read(p []byte) (int, error) { return copy(p, "xxxxxxxxxxxxxxxx"), nil }

func TestStandardInputThatFails(t *testing.T) {
	broken := errors.New("input/output error")
	in := io.MultiReader(strings.NewReader("one\ntw"), errReader{broken})
	broker := clitest.Open(t, "memory://")
	sum, err := Run(t.Context(), broker, Options{Args: []string{"-"}}, in, io.Discard)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 2") || sum.Sent != 1 {
		t.Errorf("error is %v, summary is %+v; half a line is no message", err, sum)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestOutputThatFails(t *testing.T) {
	broker := clitest.Open(t, "memory://")
	in, out := io.Pipe()
	_ = in.Close()
	if sum, err := Run(t.Context(), broker, Options{}, nil, out); !errors.Is(err, io.ErrClosedPipe) || sum.Sent != 1 {
		t.Errorf("error is %v, summary is %+v", err, sum)
	}
}

func TestQueueThatMustExist(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		opts := Options{Queue: queue, Declare: cli.DeclareNever}
		if _, err := Run(clitest.Context(t), broker, opts, nil, io.Discard); !errors.Is(err, messaging.ErrNotFound) {
			t.Errorf("error is %v, want %v", err, messaging.ErrNotFound)
		}
	})
}

func TestTutorialQueue(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		opts := Options{Queue: queue, Declare: cli.DeclareTutorial}
		send(t, broker, opts, "")
		send(t, broker, opts, "") // it exists, as it should be
		if err := broker.Declare(clitest.Context(t), messaging.QueueSpec{Name: queue, Transient: true}); err != nil {
			t.Errorf("it is not transient: %v", err)
		}
	})
}

func TestBadOptions(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		opts Options
		says []string
	}{
		{Options{Queue: long}, []string{"--queue"}},
		{Options{Queue: "a\x00"}, []string{"--queue"}},
		{Options{Declare: "x"}, []string{"--declare"}},
		{Options{Count: -1}, []string{"--count"}},
		{Options{Count: math.MaxInt, Args: []string{"a", "b"}}, []string{"--count"}},
		{Options{Rate: -1}, []string{"--rate"}},
		{Options{Rate: math.NaN()}, []string{"--rate"}},
		{Options{Rate: math.Inf(1)}, []string{"--rate"}},
		{Options{Timeout: -1}, []string{"--timeout"}},
		{Options{Delay: time.Second, TTL: time.Second}, []string{"--delay 1s", "--ttl 1s", "contradict"}},
		{Options{ContentType: long}, []string{"--content-type"}},
		{Options{Headers: map[string]string{"": "v"}}, []string{"--header", "empty key"}},
		{Options{Headers: map[string]string{long: "v"}}, []string{"--header"}},
		{Options{Args: []string{"-", "x"}}, []string{"-", "texts"}},
		{Options{Args: []string{"-"}, Count: 2}, []string{"--count", "-"}},
	} {
		called := false
		broker := publisher{clitest.Open(t, "memory://"), func(context.Context, []*messaging.Message) error {
			called = true
			return nil
		}}
		_, err := Run(t.Context(), broker, test.opts, nil, io.Discard)
		if usage := (*cli.UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%+v: error is %v, want a usage error", test.opts, err)
			continue
		}
		for _, text := range test.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%+v: the error does not say %q: %v", test.opts, text, err)
			}
		}
		if called {
			t.Errorf("%+v: something was sent", test.opts)
		}
	}
}

func TestParseHeaders(t *testing.T) {
	headers, err := ParseHeaders([]string{"a=1", "b=x=y, z", "c="})
	if err != nil || len(headers) != 3 || headers["a"] != "1" || headers["b"] != "x=y, z" || headers["c"] != "" {
		t.Errorf("headers are %q, %v", headers, err)
	}
	if headers, err := ParseHeaders(nil); err != nil || headers != nil {
		t.Errorf("headers are %q, %v, want none", headers, err)
	}
	for _, bad := range [][]string{{"=1"}, {"a"}, {""}, {strings.Repeat("k", 256) + "=v"}, {"a=1", "a=2"}} {
		if _, err := ParseHeaders(bad); err == nil || !strings.Contains(err.Error(), "--header") {
			t.Errorf("%.20q: error is %v", bad, err)
		}
	}
}
