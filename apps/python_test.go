package apps

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/pika"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// python starts one of the tutorial's programs.
func python(t *testing.T, program, url, queue string, args ...string) *process {
	t.Helper()
	interpreter, err := pika.Interpreter()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "python", program)
	cmd := exec.Command(interpreter, append([]string{file, url, queue}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	return start(t, cmd, io.Discard)
}

// The tutorial's programs among themselves: what the others are compared with.
func TestPythonToPython(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	p := python(t, "producer.py", url, queue)
	p.ends(t, cli.StatusOK)
	p.stdout.Await(t, " [x] Sent 'Hello World!'\n", 1)
	c := python(t, "get.py", url, queue)
	c.ends(t, cli.StatusOK)
	c.stdout.Await(t, " [x] Received b'Hello World!'\n", 1)
}

// Python declares the queue, transient and classic, and our programs use it as
// it is: with our defaults, in both directions, and Python still agrees with it.
func TestPythonDeclaresFirst(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	python(t, "producer.py", url, queue, "from Python", "訊息", "three").ends(t, cli.StatusOK)

	get := app(t, url, "consumer", "--queue", queue, "--mode", "get")
	get.ends(t, cli.StatusOK)
	get.stdout.Await(t, " [x] Received 'from Python'\n", 1)
	c := app(t, url, "consumer", "--queue", queue)
	c.stdout.Await(t, " [x] Received '訊息'\n [x] Received 'three'\n", 1)
	c.signal(t, os.Interrupt)
	c.ends(t, cli.StatusOK)

	app(t, url, "producer", "--queue", queue, "from Go").ends(t, cli.StatusOK)
	back := python(t, "get.py", url, queue)
	back.ends(t, cli.StatusOK)
	back.stdout.Await(t, " [x] Received b'from Go'\n", 1)
}

// Ours comes first and is told to declare the tutorial's queue. All three of
// the tutorial's consumers read what our producer sent.
func TestOursDeclareTheTutorialsQueue(t *testing.T) {
	for program, drive := range map[string]func(t *testing.T, c *process){
		"get.py": func(*testing.T, *process) {},
		"consume.py": func(t *testing.T, c *process) {
			c.stdout.Await(t, waiting, 1)
			c.stdout.Await(t, "b'Hello World!'\n", 1)
			c.signal(t, os.Interrupt)
		},
		"iterate.py": func(t *testing.T, c *process) { c.stdout.Await(t, " [x] Received None\n", 1) }, // its inactivity timeout
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			url, _, queue := rabbit(t)
			app(t, url, "producer", "--queue", queue, "--declare", "tutorial", "--header", "k=v").ends(t, cli.StatusOK)
			c := python(t, program, url, queue)
			drive(t, c)
			c.ends(t, cli.StatusOK)
			c.stdout.Await(t, " [x] Received b'Hello World!'\n", 1)
		})
	}
}

// Our consumer comes first, and waits for Python's producer.
func TestOurConsumerDeclaresTheTutorialsQueue(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	c := app(t, url, "consumer", "--queue", queue, "--declare", "tutorial")
	c.stdout.Await(t, waiting, 1)
	python(t, "producer.py", url, queue).ends(t, cli.StatusOK)
	c.stdout.Await(t, " [x] Received 'Hello World!'\n", 1)
	c.signal(t, os.Interrupt)
	c.ends(t, cli.StatusOK)
}

// On queue hello itself, with nothing but defaults on the side of Python.
func TestQueueHello(t *testing.T) {
	t.Parallel()
	url := rabbitmqtest.NewNode(t, rabbitmqtest.Options{}).URL() // of its own: programs of other tests may declare hello too
	app(t, url, "producer", "--declare", "tutorial", "from Go").ends(t, cli.StatusOK)
	python(t, "producer.py", url, "hello", "from Python").ends(t, cli.StatusOK)
	python(t, "get.py", url, "hello").ends(t, cli.StatusOK)
	c := app(t, url, "consumer", "--mode", "get")
	c.ends(t, cli.StatusOK)
	c.stdout.Await(t, " [x] Received 'from Python'\n", 1)
}

// Ours comes first with its own default, a durable queue. Python asks for a
// transient one, and RabbitMQ refuses: the guide explains it.
func TestOursDeclareADurableQueue(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	app(t, url, "producer", "--queue", queue).ends(t, cli.StatusOK)
	for _, program := range []string{"producer.py", "get.py", "consume.py", "iterate.py"} {
		p := python(t, program, url, queue)
		p.ends(t, 1)
		if text := p.stderr.String(); !strings.Contains(text, "406") || !strings.Contains(text, "PRECONDITION_FAILED") {
			t.Errorf("%s says %q, want it to report 406 PRECONDITION_FAILED", program, text)
		}
	}
	p := app(t, url, "producer", "--queue", queue, "--declare", "tutorial")
	p.ends(t, cli.StatusFailed)
	p.stderr.Await(t, "delete the queue, or use it as it is", 1)
}

// Two ways that the guide gives for Python programs on a durable queue.
func TestPythonLooksAtADurableQueueOnly(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	app(t, url, "producer", "--queue", queue, "--header", "k=v", "--content-type", "text/plain").ends(t, cli.StatusOK)
	p := python(t, "passive.py", url, queue)
	p.ends(t, cli.StatusOK)
	p.stdout.Await(t, " [x] Received b'Hello World!'\nid given, mode 2, type text/plain, headers {'k': 'v'}\n", 1)
}

func TestPythonDeclaresADurableQueue(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	python(t, "durable.py", url, queue).ends(t, cli.StatusOK)
	if err := broker.Declare(clitest.Context(t), messaging.QueueSpec{Name: queue}); err != nil {
		t.Errorf("its queue is another than ours: %v", err)
	}
	d := clitest.Receive(t, broker, queue, 1)[0]
	if string(d.Body) != "durable" || d.ID != "" || !d.Time.IsZero() || d.Headers["number"] != "42" || d.Headers["nested"] == "" {
		t.Errorf("received %+v", d)
	}

	other := clitest.Queue(t, broker)
	app(t, url, "producer", "--queue", other).ends(t, cli.StatusOK)
	python(t, "durable.py", url, other).ends(t, cli.StatusOK)
	if all := clitest.Receive(t, broker, other, 2); string(all[1].Body) != "durable" {
		t.Errorf("received %+v", all)
	}
}
