// Package apps has the tests of the programs in its folders as people use
// them: built, and run as processes of their own.
package apps

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/internal/testsecret"
	"github.com/warrenmq/warren/pkg/messaging"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

const waiting = " [*] Waiting for messages. To exit press CTRL+C\n"

func TestMain(m *testing.M) {
	rabbitmqtest.Main(m, goleak.Cleanup(func(status int) {
		if dir, err := binaries(); err == nil {
			_ = os.RemoveAll(dir)
		}
		os.Exit(status)
	}))
}

// binaries builds the programs, once, and returns their directory.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "warren-apps-")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", dir, "./...").CombinedOutput(); err != nil {
		return dir, errors.New("go build: " + string(out))
	}
	return dir, nil
})

// process is a program that runs.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr clitest.Screen
	done           chan struct{}
}

// app starts one of the programs with MESSAGING_URL set to url, unless that is
// empty.
func app(t *testing.T, url, name string, args ...string) *process {
	t.Helper()
	return start(t, command(t, url, name, args...), io.Discard)
}

// command is what app starts.
func command(t *testing.T, url, name string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, name), args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MESSAGING_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	if url != "" {
		cmd.Env = append(cmd.Env, "MESSAGING_URL="+url)
	}
	return cmd
}

// start starts a process, which ends with the test at the latest. Its standard
// output also goes to copied.
func start(t *testing.T, cmd *exec.Cmd, copied io.Writer) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&p.stdout, copied), &p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the exit status is what counts
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s\nstandard output:\n%s\nstandard error:\n%s", cmd, &p.stdout, &p.stderr)
		}
	})
	return p
}

// ends waits for the end, and checks the exit status.
func (p *process) ends(t *testing.T, status int) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(clitest.Timeout):
		t.Fatalf("%s does not end", p.cmd)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("%s ended with status %d, want %d", p.cmd, got, status)
	}
}

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// rabbit returns the URL of a RabbitMQ, this process's own connection to it,
// and a queue name that nobody else uses.
func rabbit(t *testing.T) (url string, broker messaging.Broker, queue string) {
	t.Helper()
	url = rabbitmqtest.URL(t)
	broker = clitest.Open(t, url)
	return url, broker, clitest.Queue(t, broker)
}

func TestDemo(t *testing.T) {
	t.Parallel()
	p := app(t, "", "hello")
	p.ends(t, cli.StatusOK)
	for _, text := range []string{" [x] Sent 'Hello World!'\n", " [x] Received 'Hello World!'", "(worker 1)", "(worker 2)", "acknowledged 6"} {
		if !strings.Contains(p.stdout.String(), text) {
			t.Errorf("%q is missing", text)
		}
	}
	if p.stderr.String() != "" {
		t.Error("something is on standard error")
	}
}

func TestDemoOnRabbitMQ(t *testing.T) {
	t.Parallel()
	p := app(t, rabbitmqtest.URL(t), "hello", "--workers", "3", "--work", "10ms", "A.", "B..", "C...")
	p.ends(t, cli.StatusOK)
	for _, text := range []string{" [x] Received 'C...'", "(worker 3)", "acknowledged 3"} {
		if !strings.Contains(p.stdout.String(), text) {
			t.Errorf("%q is missing", text)
		}
	}
}

func TestHelloWorld(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	p := app(t, url, "producer", "--queue", queue)
	p.ends(t, cli.StatusOK)
	if got := p.stdout.String(); got != " [x] Sent 'Hello World!'\n" {
		t.Errorf("the producer printed %q", got)
	}
	c := app(t, url, "consumer", "--queue", queue)
	c.stdout.Await(t, waiting+" [x] Received 'Hello World!'\n", 1)
	c.signal(t, os.Interrupt)
	c.ends(t, cli.StatusOK)
	c.stdout.Await(t, " [*] Received 1, acknowledged 1, failed 0, returned to the queue 0\n", 1)
}

func TestURLFlagComesBeforeTheEnvironment(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	app(t, "amqp://127.0.0.1:1/", "producer", "--url", url, "--queue", queue).ends(t, cli.StatusOK)
}

// Ten messages, two consumers: fair dispatch shares them, and CTRL+C drains.
func TestTwoConsumersShareTenMessages(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	var consumers [2]*process
	both := &clitest.Screen{}
	for i := range consumers {
		consumers[i] = start(t, command(t, url, "consumer", "--queue", queue, "--work", "50ms"), both)
		consumers[i].stdout.Await(t, waiting, 1)
	}
	p := app(t, url, "producer", "--queue", queue, "--count", "10", "dot.")
	p.ends(t, cli.StatusOK)
	if n := strings.Count(p.stdout.String(), " [x] Sent 'dot.'\n"); n != 10 {
		t.Errorf("%d lines for ten messages", n)
	}
	both.Await(t, " [x] Done\n", 10)
	for i, c := range consumers {
		c.signal(t, []os.Signal{os.Interrupt, syscall.SIGTERM}[i])
		c.ends(t, cli.StatusOK)
		if n := strings.Count(c.stdout.String(), " [x] Done\n"); n < 2 {
			t.Errorf("one of them handled %d messages of ten", n)
		}
	}
}

func TestFirstSignalDrainsSecondQuits(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	app(t, url, "producer", "--queue", queue, "long.").ends(t, cli.StatusOK)
	c := app(t, url, "consumer", "--queue", queue, "--work", "1h")
	c.stdout.Await(t, "'long.'", 1)
	c.signal(t, os.Interrupt)
	c.stderr.Await(t, "press CTRL+C again", 1)
	c.signal(t, os.Interrupt)
	c.ends(t, cli.StatusInterrupted)

	again := app(t, url, "consumer", "--queue", queue)
	again.stdout.Await(t, " [x] Received 'long.' (", 1) // redelivered: nothing is lost
}

func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	app(t, url, "producer", "--queue", queue, "long.").ends(t, cli.StatusOK)
	c := app(t, url, "consumer", "--queue", queue, "--work", "1h", "--shutdown-timeout", "100ms")
	c.stdout.Await(t, "'long.'", 1)
	c.signal(t, syscall.SIGTERM)
	c.ends(t, cli.StatusFailed)
	c.stdout.Await(t, "returned to the queue 1", 1)
}

func TestGetAndIterate(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	app(t, url, "producer", "--queue", queue, "one", "two", "three").ends(t, cli.StatusOK)
	get := app(t, url, "consumer", "--queue", queue, "--mode", "get")
	get.ends(t, cli.StatusOK)
	get.stdout.Await(t, " [x] Received 'one'\n", 1)
	iterate := app(t, url, "consumer", "--queue", queue, "--mode", "iterate", "--inactivity-timeout", "500ms")
	iterate.ends(t, cli.StatusOK)
	iterate.stdout.Await(t, " [x] Received 'two'\n [x] Received 'three'\n", 1)
	empty := app(t, url, "consumer", "--queue", queue, "--mode", "get")
	empty.ends(t, cli.StatusOK)
	empty.stdout.Await(t, "No message in queue", 1)
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	cmd := command(t, url, "producer", "--queue", queue, "--header", "k=v", "-")
	cmd.Stdin = strings.NewReader("one\ntwo\nthree")
	p := start(t, cmd, io.Discard)
	p.ends(t, cli.StatusOK)
	p.stdout.Await(t, " [x] Sent 'one'\n [x] Sent 'two'\n [x] Sent 'three'\n [*] Sent 3, failed 0", 1)
	for i, d := range clitest.Receive(t, broker, queue, 3) {
		if want := []string{"one", "two", "three"}[i]; string(d.Body) != want || d.Headers["k"] != "v" {
			t.Errorf("received %+v, want %s", d, want)
		}
	}
}

// A producer that is interrupted says that not everything was sent.
func TestProducerInterrupted(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	p := app(t, url, "producer", "--queue", queue, "--count", "10", "--rate", "0.01")
	p.stdout.Await(t, " [x] Sent", 1)
	p.signal(t, os.Interrupt)
	p.ends(t, cli.StatusFailed)
	p.stderr.Await(t, "producer: interrupted after 1 of 10 messages\n", 1)
}

func TestFailedMessagesAreNamed(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	// Transient is classic on RabbitMQ: a quorum queue takes a few more.
	if err := broker.Declare(clitest.Context(t), messaging.QueueSpec{Name: queue, MaxLength: 1, Transient: true}); err != nil {
		t.Fatal(err)
	}
	p := app(t, url, "producer", "--queue", queue, "a", "b", "c", "d")
	p.ends(t, cli.StatusFailed)
	p.stderr.Await(t, "\n  message 4 (", 1)
	p.stderr.Await(t, messaging.ErrRejected.Error(), 1)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	const nobody = "amqp://127.0.0.1:1/" // who tries to send something fails with another status
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"producer", "--count", "-1"}, "--count"},
		{[]string{"producer", "--count", "0"}, "--count"},
		{[]string{"producer", "--count", "2", "-"}, "--count and -"},
		{[]string{"producer", "-", "text"}, "texts"},
		{[]string{"producer", "--rate", "-1"}, "--rate"},
		{[]string{"producer", "--timeout", "-1s"}, "--timeout"},
		{[]string{"producer", "--queue", ""}, "--queue"},
		{[]string{"producer", "--header", "=v"}, "--header"},
		{[]string{"producer", "--header", "k"}, "--header"},
		{[]string{"producer", "--nope"}, "--nope"},
		{[]string{"producer", "--url", "memory://"}, "go run ./apps/hello"},
		{[]string{"consumer", "--url", "memory://"}, "go run ./apps/hello"},
		{[]string{"consumer", "--url", "foo://x"}, "--url (MESSAGING_URL) begins with foo://; this program knows amqp:// and amqps://\n"},
		{[]string{"producer", "--url", "amqp://h?nope=1"}, `--url (MESSAGING_URL): open RabbitMQ: unusable URL: unknown parameter "nope"`},
		{[]string{"producer", "--delay", "2s", "--ttl", "1s"}, "--delay 2s and --ttl 1s contradict"},
		{[]string{"consumer", "text"}, "options only"},
		{[]string{"consumer", "--workers", "0"}, "--workers"},
		{[]string{"consumer", "--prefetch", "0"}, "--prefetch"},
		{[]string{"consumer", "--mode", "x"}, "--mode"},
		{[]string{"consumer", "--mode", "get", "--workers", "2"}, "--mode get and --workers 2"},
		{[]string{"consumer", "--mode", "get", "--inactivity-timeout", "1s"}, "--mode get and --inactivity-timeout"},
		{[]string{"consumer", "--auto-ack", "--retry-min", "1s"}, "--auto-ack and the retry flags"},
		{[]string{"consumer", "--work", "-1s"}, "--work"},
		{[]string{"consumer", "--dead-letter", "hello"}, "--dead-letter and --queue"},
		{[]string{"hello", "--workers", "0"}, "--workers"},
		{[]string{"hello", "-"}, "standard input"},
	} {
		p := app(t, nobody, test.args[0], test.args[1:]...)
		p.ends(t, cli.StatusUsage)
		if !strings.Contains(p.stderr.String(), test.says) {
			t.Errorf("%q: standard error does not say %q", test.args, test.says)
		}
		if p.stdout.String() != "" {
			t.Errorf("%q: something is on standard output", test.args)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"producer", "consumer", "hello"} {
		help := app(t, "amqp://user:secret@host/", name, "--help")
		help.ends(t, cli.StatusOK)
		for _, text := range []string{"Examples:", "MESSAGING_URL", "--queue"} {
			if !strings.Contains(help.stdout.String(), text) {
				t.Errorf("%s --help does not say %q", name, text)
			}
		}
		if text := help.stdout.String(); strings.Contains(text, "secret") || strings.Contains(text, "guest:guest") {
			t.Errorf("%s --help shows a password", name)
		}
		version := app(t, "", name, "--version")
		version.ends(t, cli.StatusOK)
		if !strings.Contains(version.stdout.String(), "go1.") {
			t.Errorf("%s --version says %q", name, &version.stdout)
		}
	}
}

// No broker there, or not for us: an error that says what to do, and no
// password.
func TestBrokerThatCannotBeReached(t *testing.T) {
	t.Parallel()
	var all []*process
	for _, name := range []string{"producer", "consumer", "hello"} {
		all = append(all, app(t, "amqp://user:secret@127.0.0.1:1/", name))
	}
	for _, p := range all {
		p.ends(t, cli.StatusFailed)
		if text := p.stderr.String(); !strings.Contains(text, "127.0.0.1:1") || strings.Contains(text, "secret") {
			t.Errorf("%s: standard error is %q", p.cmd, text)
		}
	}
}

// Whatever is wrong with a start, nothing that a program writes has the
// password in it, not even with --verbose.
func TestNoStartShowsThePassword(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-w0rd"
	node := rabbitmqtest.SharedNode(t)
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("amqp://guest:"+secret+"@"+node.Addr()+"/"), 0o600); err != nil {
		t.Fatal(err)
	}
	urls := []string{
		"amqp://guest:" + secret + "@" + node.Addr() + "/",          // wrong password
		"amqp://guest:" + secret + "@" + node.Addr() + "/no-such",   // and a virtual host that is not there
		"amqp://user:" + secret + "@127.0.0.1:1/",                   // nobody there
		"amqp://user:" + secret + "@127.0.0.1:1,127.0.0.1:2/",       // on any of them
		"amqp://user:" + secret + "@no-such-host.invalid/",          // no such name
		"amqps://user:" + secret + "@" + node.Addr() + "/",          // no TLS there
		"amqps://user:" + secret + "@127.0.0.1:1/?cacertfile=/none", // no such file
		"amqp://user:" + secret + "@127.0.0.1:1/?colour=red",        // no such parameter
		"amqp://user:" + secret + "@127.0.0.1:x/",                   // no port
		"amqp://user:" + secret + "/#?@127.0.0.1:1/",                // not escaped
		"amqp://user:%zz" + secret + "@127.0.0.1:1/",                // badly escaped
		"ampq://user:" + secret + "@127.0.0.1:1/",                   // misspelt
		"user:" + secret + "@127.0.0.1:1",                           // no scheme
	}
	var all []*process
	for _, name := range []string{"producer", "consumer", "hello"} {
		for _, url := range urls {
			all = append(all, app(t, url, name, "--verbose"), app(t, "", name, "--verbose", "--url", url))
		}
		fromFile := command(t, "", name, "--verbose")
		fromFile.Env = append(fromFile.Env, "MESSAGING_URL_FILE="+file)
		all = append(all, start(t, fromFile, io.Discard))
		all = append(all, app(t, "", name, "--uri", urls[0]), app(t, "", name, "--queue", urls[0]+"\n"), app(t, "", name, "--work", urls[0]))
	}
	for _, p := range all {
		<-p.done
		if p.cmd.ProcessState.ExitCode() == cli.StatusOK {
			t.Errorf("%q ended well", p.cmd.Args)
		}
		if text := p.stdout.String() + p.stderr.String(); text == "" || strings.Contains(text, secret) {
			t.Errorf("%q wrote %q", p.cmd.Args, text)
		}
	}
}

// A password on the command line is not in the list of processes.
func TestListOfProcessesShowsNoPassword(t *testing.T) {
	t.Parallel()
	url := rabbitmqtest.SharedNode(t).URL()
	for _, args := range [][]string{{"--url", url}, {"--url=" + url}} {
		c := app(t, "", "consumer", args...)
		c.stdout.Await(t, waiting, 1)
		title, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(c.cmd.Process.Pid)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, title)
		}
		_, host, _ := strings.Cut(url, "@")
		if text := string(title); strings.Contains(text, testsecret.Password) || !strings.Contains(text, "@"+host) {
			t.Error("ps shows " + strings.ReplaceAll(text, testsecret.Password, "PASSWORD"))
		}
		c.signal(t, os.Interrupt)
		c.ends(t, cli.StatusOK)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	url := strings.Replace(rabbitmqtest.SharedNode(t).URL(), testsecret.Password, "secret", 1)
	p := app(t, url, "producer")
	p.ends(t, cli.StatusFailed)
	if text := p.stderr.String(); text == "" || strings.Contains(text, "secret") {
		t.Errorf("standard error is %q", text)
	}
}

// A consumer survives the restart of its broker, and says so.
func TestBrokerRestarts(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	c := app(t, node.URL(), "consumer")
	c.stdout.Await(t, waiting, 1)
	if err := node.Restart(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	app(t, node.URL(), "producer").ends(t, cli.StatusOK)
	c.stdout.Await(t, " [x] Received 'Hello World!'\n", 1)
	c.signal(t, os.Interrupt)
	c.ends(t, cli.StatusOK)
}
