package apps

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Python declares the exchange, of the type that its tutorial has at each
// stage, and our consumer uses it as it is.
func TestPythonDeclaresTheExchange(t *testing.T) {
	for _, test := range []struct{ exchangeType, key, pattern string }{
		{"fanout", "", "#"},
		{"direct", "error", "error"},
		{"topic", "quick.orange.rabbit", "*.orange.*"},
	} {
		t.Run(test.exchangeType, func(t *testing.T) {
			t.Parallel()
			url, broker, _ := rabbit(t)
			name := clitest.Topic(t, broker)
			python(t, "emit_log.py", url, name, test.exchangeType, test.key).ends(t, cli.StatusOK) // nobody gets this one
			c := app(t, url, "consumer", "--topic", name, "--key", test.pattern)
			c.stdout.Await(t, waiting, 1)
			python(t, "emit_log.py", url, name, test.exchangeType, test.key, "from Python").ends(t, cli.StatusOK)
			c.stdout.Await(t, " [x] Received 'from Python'", 1)
			c.signal(t, os.Interrupt)
			c.ends(t, cli.StatusOK)
			c.stdout.Await(t, "acknowledged 1", 1)
		})
	}
}

// Ours declares the exchange, and Python's subscriber has the same patterns.
func TestPythonSubscribesToATopic(t *testing.T) {
	t.Parallel()
	url, broker, _ := rabbit(t)
	name := clitest.Topic(t, broker, "g")
	if err := broker.Bind(clitest.Context(t), messaging.Source{Address: messaging.Topic(name), Group: "g"}); err != nil {
		t.Fatal(err)
	}
	c := python(t, "receive_logs.py", url, name, "*.orange.*", "lazy.#")
	c.stdout.Await(t, " [*] Waiting for logs. To exit press CTRL+C\n", 1)
	for _, key := range []string{"quick.brown.fox", "lazy", "quick.orange.fox"} {
		app(t, url, "producer", "--topic", name, "--key", key).ends(t, cli.StatusOK)
	}
	c.stdout.Await(t, "logs. To exit press CTRL+C\n [x] 'lazy':b'Hello World!'\n [x] 'quick.orange.fox':b'Hello World!'\n", 1)
	c.signal(t, os.Interrupt)
	c.ends(t, cli.StatusOK)
}

func TestRequestToPython(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	server := python(t, "rpc_server.py", url, queue)
	server.stdout.Await(t, " [x] Awaiting RPC requests\n", 1)
	reply, err := messaging.Request(clitest.Context(t), broker, messaging.Queue(queue), &messaging.Message{Body: []byte("10")})
	if err != nil || string(reply.Body) != "55" {
		t.Errorf("fib(10) is %+v, %v", reply, err)
	}
}

func TestRespondToPython(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	ctx, stop := context.WithCancel(clitest.Context(t))
	ready, ended := make(chan struct{}), make(chan error, 1)
	source := messaging.Source{Address: messaging.Queue(queue), Ready: func() { close(ready) }}
	go func() {
		ended <- broker.Subscribe(ctx, source, messaging.Respond(broker, func(_ context.Context, d *messaging.Delivery) (*messaging.Message, error) {
			n, err := strconv.Atoi(string(d.Body))
			return &messaging.Message{Body: []byte(strconv.Itoa(n + 1))}, err
		}))
	}()
	<-ready
	client := python(t, "rpc_client.py", url, queue)
	client.ends(t, cli.StatusOK)
	client.stdout.Await(t, " [.] Got 31\n", 1)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
