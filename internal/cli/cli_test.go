package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	urfave "github.com/urfave/cli/v3"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

// program is a command that does what action says.
func program(action urfave.ActionFunc) (cmd *urfave.Command, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	topic := TopicFlag()
	return &urfave.Command{
		Name: "program", Action: action, Writer: stdout, ErrWriter: stderr,
		Flags: slices.Concat([]urfave.Flag{
			QueueFlag("hello", "", topic), topic, DeclareFlag(), QuietFlag(),
			&urfave.IntFlag{Name: "n", Validator: AtLeast(1)},
			&urfave.DurationFlag{Name: "d", Validator: Positive},
			&urfave.StringSliceFlag{Name: "list"},
		}, URLFlags(DefaultURL, "localhost"), LogFlags()),
	}, stdout, stderr
}

func TestExitStatus(t *testing.T) {
	failing := errors.New("it failed")
	for _, test := range []struct {
		name   string
		args   []string
		err    error
		status int
		says   string
	}{
		{"fine", nil, nil, StatusOK, ""},
		{"failure", nil, failing, StatusFailed, "program: it failed\n"},
		{"usage found by the action", nil, Usagef("--a and --b"), StatusUsage, "program: --a and --b\nprogram --help"},
		{"unknown flag", []string{"--nope"}, nil, StatusUsage, "not defined: --nope\n"},
		{"no number", []string{"--n", "x"}, nil, StatusUsage, `"x" for flag -n`},
		{"negative number", []string{"--n", "-1"}, nil, StatusUsage, "for flag -n: must be at least 1"},
		{"zero duration", []string{"--d", "0s"}, nil, StatusUsage, "for flag -d: must be more than 0"},
		{"missing value", []string{"--n"}, nil, StatusUsage, "--n"},
		{"empty queue", []string{"--queue", ""}, nil, StatusUsage, `"" for flag --queue: the name is empty`},
		{"empty topic", []string{"-t", ""}, nil, StatusUsage, `"" for flag -t: the name is empty`},
		{"queue with a control character", []string{"--queue", "a\nb"}, nil, StatusUsage, "for flag --queue: the name has a control"},
		{"overlong queue", []string{"--queue", strings.Repeat("q", 256)}, nil, StatusUsage, "for flag --queue: the name has 256 bytes"},
		{"unknown format", []string{"--log-format", "xml"}, nil, StatusUsage, "for flag --log-format: must be text or json"},
		{"unknown level", []string{"--log-level", "WARN+1"}, nil, StatusUsage, "for flag --log-level: must be debug, info, warn or error"},
		{"unknown way to declare", []string{"--declare", "x"}, nil, StatusUsage, "must be missing, tutorial or never"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, _, stderr := program(func(context.Context, *urfave.Command) error { return test.err })
			status := run(t.Context(), cmd, append([]string{"program"}, test.args...))
			if status != test.status {
				t.Errorf("status is %d, want %d", status, test.status)
			}
			if !strings.Contains(stderr.String(), test.says) {
				t.Errorf("standard error is %q, want it to contain %q", stderr, test.says)
			}
		})
	}
}

func TestEnvironmentIsChecked(t *testing.T) {
	t.Setenv("MESSAGING_QUEUE", strings.Repeat("q", 256))
	cmd, _, stderr := program(func(context.Context, *urfave.Command) error { return nil })
	if status := run(t.Context(), cmd, []string{"program"}); status != StatusUsage {
		t.Errorf("status is %d, want %d", status, StatusUsage)
	}
	if !strings.Contains(stderr.String(), "MESSAGING_QUEUE") {
		t.Errorf("standard error does not name the variable: %q", stderr)
	}
	if !strings.Contains(stderr.String(), "for flag --queue") {
		t.Errorf("standard error does not name the flag: %q", stderr)
	}
}

func TestCommandLineWinsOverEnvironment(t *testing.T) {
	t.Setenv("MESSAGING_QUEUE", "from the environment")
	for _, test := range []struct{ args, want string }{
		{"program", "from the environment, "},
		{"program --queue q", "q, "},
		{"program --topic t", ", t"},
		{"program --topic t --queue q", "q, t"}, // for the program to refuse
	} {
		cmd, _, _ := program(func(_ context.Context, cmd *urfave.Command) error {
			if got := cmd.String("queue") + ", " + cmd.String("topic"); got != test.want {
				t.Errorf("%s: queue and topic are %q, want %q", test.args, got, test.want)
			}
			return nil
		})
		cmd.Flags[0] = QueueFlag("", "", cmd.Flags[1])
		if status := run(t.Context(), cmd, strings.Fields(test.args)); status != StatusOK {
			t.Errorf("%s: status is %d", test.args, status)
		}
	}
}

func TestArgumentsArriveAsTheyAre(t *testing.T) {
	var args, list []string
	cmd, _, _ := program(func(_ context.Context, cmd *urfave.Command) error {
		args, list = cmd.Args().Slice(), cmd.StringSlice("list")
		return nil
	})
	status := run(t.Context(), cmd, []string{"program", "--list", "a,b", "help", "", " x ", "h", "--list=c", "-", "--", "--n"})
	if status != StatusOK {
		t.Fatalf("status is %d", status)
	}
	if got, want := strings.Join(args, "|"), "help|| x |h|-|--n"; got != want {
		t.Errorf("arguments are %q, want %q", got, want)
	}
	if got, want := strings.Join(list, "|"), "a,b|c"; got != want {
		t.Errorf("list is %q, want %q", got, want)
	}
}

func TestHelpShowsNoPassword(t *testing.T) {
	t.Setenv("MESSAGING_URL", "amqp://user:secret@host/")
	cmd, stdout, stderr := program(func(context.Context, *urfave.Command) error { return nil })
	if status := run(t.Context(), cmd, []string{"program", "--help"}); status != StatusOK {
		t.Errorf("status is %d", status)
	}
	text := stdout.String() + stderr.String()
	if !strings.Contains(text, "MESSAGING_URL") {
		t.Errorf("the help does not name MESSAGING_URL: %s", text)
	}
	for _, password := range []string{"secret", "guest:guest"} {
		if strings.Contains(text, password) {
			t.Errorf("the help shows %q: %s", password, text)
		}
	}
}

func TestErrorsShowNoPassword(t *testing.T) {
	const url = "amqp://user:se@cr/et@host/vhost"
	for _, args := range [][]string{{"--n", url}, {"-u" + url}, {"--" + url}, {"--declare=" + url}, {"--d", url}} {
		cmd, stdout, stderr := program(func(context.Context, *urfave.Command) error { return nil })
		if status := run(t.Context(), cmd, append([]string{"program"}, args...)); status != StatusUsage {
			t.Errorf("%q: status is %d", args, status)
		}
		if text := stdout.String() + stderr.String(); strings.Contains(text, "se@") || strings.Contains(text, "et@") {
			t.Errorf("%q: the password is shown: %s", args, text)
		}
	}
}

func TestSignals(t *testing.T) {
	for _, first := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		quit := make(chan int, 1)
		ctx, stop := interruptible(t.Context(), io.Discard, func(status int) { quit <- status })
		signalSelf(t, first)
		await(t, ctx.Done(), "the context to end")
		select {
		case <-quit:
			t.Fatal("one signal ended the process")
		default:
		}
		signalSelf(t, syscall.SIGINT)
		if status := await(t, quit, "the process to end"); status != StatusInterrupted {
			t.Errorf("status is %d, want %d", status, StatusInterrupted)
		}
		stop()
	}
}

func TestNoSignal(t *testing.T) {
	ctx, stop := interruptible(t.Context(), io.Discard, func(int) { t.Error("ended the process") })
	if ctx.Err() != nil {
		t.Error("the context has ended")
	}
	stop()
}

func signalSelf(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), signal); err != nil {
		t.Fatal(err)
	}
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

func TestQuote(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"Hello World!", "'Hello World!'"},
		{"", "''"},
		{`it's "so"`, `'it's "so"'`},
		{`a\"b\`, `'a\\"b\\'`},
		{"訊息佇列", "'訊息佇列'"},
		{"a\nb\x1b[2J\x00\xff", `'a\nb\x1b[2J\x00\xff'`},
		{strings.Repeat("a", 1025), "'" + strings.Repeat("a", 1024) + "'... (1025 bytes)"},
		{strings.Repeat("a", 1023) + "訊", "'" + strings.Repeat("a", 1023) + "'... (1026 bytes)"},
	} {
		if got := Quote([]byte(test.body)); got != test.want {
			t.Errorf("Quote(%q) is %s, want %s", test.body, got, test.want)
		}
	}
}

func TestOutputRemembersItsFirstError(t *testing.T) {
	full := errors.New("no space left")
	out := NewOutput(writerFunc(func([]byte) (int, error) { return 0, full }))
	if out.Err() != nil {
		t.Error("error before anything was written")
	}
	out.Printf("line\n")
	out.Printf("line\n")
	if !errors.Is(out.Err(), full) {
		t.Errorf("error is %v, want %v", out.Err(), full)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestVersionTellsTheToolchain(t *testing.T) {
	if v := version(); !strings.Contains(v, "go1.") {
		t.Errorf("version is %q", v)
	}
}

func TestHide(t *testing.T) {
	for given, want := range map[string]string{
		"--url=amqp://user:s3cret@host/":                "--url=amqp://***********@host/",
		"amqp://u:p@h,h2/?x=a@b":                        "amqp://*************@b", // a password may have anything in it
		"amqp://host/":                                  "amqp://host/",
		"text with amqp://a:b@h and then amqp://c:d@h2": "text with amqp://***@h and then amqp://***@h2",
		"": "",
	} {
		arg := strings.Clone(given)
		if hide(arg); arg != want {
			t.Errorf("%q became %q, want %q", given, arg, want)
		}
	}
}
