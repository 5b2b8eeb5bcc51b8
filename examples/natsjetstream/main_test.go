package natsjetstream_test

import (
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	_ = slog.Default // the tests break connections on purpose
	goleak.VerifyTestMain(m)
}

// maxPayload is the server's limit of a message with its headers. By default it
// is 1 MiB.
const maxPayload = 4 << 20

// startServer runs a NATS server with JetStream in this process.
func startServer(t *testing.T) (url string) {
	t.Helper()
	return runServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()
}

func runServer(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port,
		JetStream: true, StoreDir: dir, MaxPayload: maxPayload,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	return s
}

// network is what a Broker dials through, to be broken.
type network struct {
	mu    sync.Mutex
	away  bool
	held  chan struct{} // closed where the server's answers come through; nil is the same
	conns []net.Conn
}

var errAway = &net.OpError{Op: "dial", Err: net.ErrClosed}

// Dial implements nats.CustomDialer.
func (n *network) Dial(network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return nil, errAway
	}
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	n.conns = append(n.conns, c)
	return &conn{Conn: c, n: n}, nil
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = true
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

func (n *network) restore() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = false
}

// hold keeps back what the server says from now on.
func (n *network) hold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = make(chan struct{})
}

func (n *network) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.held)
	n.held = nil
}

func (n *network) gate() chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held
}

// conn is a connection through a network.
type conn struct {
	net.Conn
	n *network
}

func (c *conn) Read(p []byte) (int, error) {
	k, err := c.Conn.Read(p)
	if gate := c.n.gate(); gate != nil {
		<-gate
	}
	return k, err
}
