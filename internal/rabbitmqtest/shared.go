// Package rabbitmqtest gives tests a real RabbitMQ: private nodes that can be
// killed, frozen and restarted, one node that a package's tests share, and a
// TCP proxy that breaks the network between them.
//
// A package whose tests use it has one TestMain:
//
//	func TestMain(m *testing.M) { rabbitmqtest.Main(m) }
//
// and its tests ask for what they need:
//
//	url := rabbitmqtest.URL(t)             // any broker: MESSAGING_TEST_URL, else the shared node
//	node := rabbitmqtest.SharedNode(t)     // the shared node itself, to look into
//	node := rabbitmqtest.NewNode(t, opts)  // a node of the test's own, to break
//	proxy := rabbitmqtest.NewProxy(t, addr)
//
// A test that needs a broker is skipped by go test -short, and by nothing
// else: where no broker is to be had, it fails and says how to get one.
package rabbitmqtest

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// EnvURL is the environment variable that points the tests at an existing
// broker, for example amqp://guest:guest@localhost:5672/.
const EnvURL = "MESSAGING_TEST_URL"

// howToGetOne is the sentence for a machine without a broker, and
// howToGetServer the one for a test that no existing broker helps.
const howToGetOne = "RabbitMQ is needed: install it with `make rabbitmq-install` (or `sudo apt-get install rabbitmq-server`), " +
	"or set " + EnvURL + "=amqp://guest:guest@localhost:5672/, or run `make test-unit`, which needs no broker."

const howToGetServer = "This test starts a RabbitMQ node of its own, which " + EnvURL + " cannot replace: " +
	"install the server with `make rabbitmq-install` (or `sudo apt-get install rabbitmq-server`), or run `make test-unit`, which needs no broker."

// startTimeout is generous: a machine that compiles at the same time is slow.
const startTimeout = 2 * time.Minute

var shared struct {
	start sync.Once
	node  *Node
	err   error

	check    sync.Once
	checkErr error
}

// Main runs a package's tests, stops the shared node, and fails the run where
// a goroutine is left over. It ends the process, so it is TestMain's last line.
func Main(m *testing.M, opts ...goleak.Option) {
	goleak.VerifyTestMain(runner{m}, opts...)
}

// runner stops the shared node between the tests and the search for leaks,
// since the node's owner is a goroutine too.
type runner struct{ m *testing.M }

func (r runner) Run() int {
	code := r.m.Run()
	if shared.node != nil {
		shared.node.Close()
	}
	return code
}

// URL returns the address of a broker: the one that MESSAGING_TEST_URL names,
// else the package's shared node, which the first call starts. Tests share it,
// so each uses names of its own.
func URL(t testing.TB) string {
	t.Helper()
	given := os.Getenv(EnvURL)
	if given == "" {
		return SharedNode(t).URL()
	}
	skipIfShort(t)
	shared.check.Do(func() { shared.checkErr = checkURL(given) })
	if shared.checkErr != nil {
		t.Fatal(shared.checkErr)
	}
	return given
}

// SharedNode returns the package's shared node, which the first call starts
// from the installed rabbitmq-server, whether MESSAGING_TEST_URL is set or
// not. Other tests use it at the same time: to break one, take [NewNode].
func SharedNode(t testing.TB) *Node {
	t.Helper()
	skipIfShort(t)
	shared.start.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		shared.node, shared.err = Start(ctx, Options{})
	})
	failOnStart(t, shared.err)
	return shared.node
}

// NewNode starts a node that belongs to the test alone, and closes it when
// the test ends. The node's log is shown where the test failed.
func NewNode(t testing.TB, opts Options) *Node {
	t.Helper()
	skipIfShort(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	n, err := Start(ctx, opts)
	failOnStart(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.LogTail())
		}
		n.Close()
	})
	return n
}

func skipIfShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a RabbitMQ broker, and -short asks for the tests that need none")
	}
}

func failOnStart(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, ErrNotInstalled) && os.Getenv(EnvURL) != "":
		t.Fatal(howToGetServer)
	case errors.Is(err, ErrNotInstalled):
		t.Fatal(howToGetOne)
	case err != nil:
		t.Fatal(err)
	}
}

// checkURL makes one clear failure of a broker that is not there. What needs
// TLS or more is left to the test.
func checkURL(given string) error {
	u, err := url.Parse(given)
	if err != nil {
		return errors.New(EnvURL + " is not a URL; it should look like amqp://guest:guest@localhost:5672/")
	}
	if u.Scheme != "amqp" || strings.Contains(u.Host, ",") {
		return nil
	}
	addr := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "5672"))
	if _, err := Handshake(context.Background(), addr); err != nil {
		return errors.New(EnvURL + " names " + addr + ", where no broker answers (" + err.Error() + "): start it, or unset the variable")
	}
	return nil
}
