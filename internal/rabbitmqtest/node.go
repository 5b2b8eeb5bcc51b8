package rabbitmqtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/warrenmq/warren/internal/child"
	"github.com/warrenmq/warren/internal/testsecret"
)

// stopTimeout is how long a node may take to stop in order before it is
// killed. A second is usual.
const stopTimeout = 30 * time.Second

// Options says how a node is started. The zero value is what a test wants.
type Options struct {
	// Port is the AMQP port on 127.0.0.1. Defaults to a free one.
	Port int
	// DistPort is the port for commands into the node. Defaults to a free one.
	DistPort int
	// Name is the part of the node's name before the "@". It must be the same
	// whenever a Dir is used again. Defaults to a name that nobody else has.
	Name string
	// Dir is the directory for the node's data, created where it is missing
	// and kept by Close. Defaults to a temporary one, which Close removes.
	Dir string
	// Password is that of the user guest, who may do anything. Defaults to
	// [testsecret.Password].
	Password string
	// Config is added to the node's rabbitmq.conf, one "key = value" a line.
	Config string
	// Detached starts a node that outlives this process: no signal of the
	// terminal and no end of the parent reaches it. Defaults to false: the
	// node dies with this process, however that ends.
	Detached bool
	// stock starts the node by the rabbitmq-server script even where erl
	// could be started directly, so that tests reach that path too.
	stock bool
	// cluster is what the node is to be a member of; nil for none.
	cluster *clusterOf
}

// Node is a private RabbitMQ node, a child process of this one. It listens on
// the loopback interface only. Its methods may be called by any goroutine.
type Node struct {
	opts    Options
	install *installation
	cookie  string
	tempDir bool // Close removes the directory

	mu   sync.Mutex     // guards proc, and lets one start or stop happen at a time
	proc *child.Process // nil while the node is down
}

// Start starts a node and returns once it speaks AMQP, which takes about
// three seconds. Whoever starts a node closes it.
//
// The error wraps [ErrNotInstalled] where this machine has no RabbitMQ, and
// otherwise carries the end of what the node wrote to its logs. A port that
// somebody else took in the meantime is replaced by another, unless Options
// asked for that very port.
func Start(ctx context.Context, opts Options) (*Node, error) {
	install, err := findInstallation()
	if err != nil {
		return nil, err
	}
	const tries = 5
	for try := 1; ; try++ {
		n, err := newNode(install, opts)
		if err != nil {
			return nil, err
		}
		err = n.start(ctx)
		if err == nil {
			return n, nil
		}
		n.Close()
		if try == tries || !portTaken(err) || opts.Port != 0 || ctx.Err() != nil {
			return nil, err
		}
	}
}

// Attach returns a handle on a node that another process started detached
// with the same options, whether it still runs or not. The handle can ask the
// node ([Node.Eval], [Node.PID]); it cannot start or stop it. The error is an
// [os.ErrNotExist] where no node was ever started in that directory.
func Attach(opts Options) (*Node, error) {
	if opts.Port == 0 || opts.DistPort == 0 || opts.Name == "" || opts.Dir == "" {
		return nil, errors.New("attach to a RabbitMQ node: Port, DistPort, Name and Dir are required")
	}
	install, err := findInstallation()
	if err != nil {
		return nil, err
	}
	cookie, err := os.ReadFile(filepath.Join(opts.Dir, "home", cookieFile))
	if err != nil {
		return nil, fmt.Errorf("attach to the RabbitMQ node in %s: %w", opts.Dir, err)
	}
	opts.Password = cmp.Or(opts.Password, testsecret.Password)
	return &Node{opts: opts, install: install, cookie: string(cookie)}, nil
}

// newNode chooses ports and name, and lays out the node's directory.
func newNode(install *installation, opts Options) (*Node, error) {
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	if opts.Port == 0 {
		opts.Port = ports[0]
	}
	if opts.DistPort == 0 {
		opts.DistPort = ports[1]
	}
	if opts.Name == "" {
		opts.Name = "warren-" + strings.ToLower(rand.Text()[:10])
	}
	opts.Password = cmp.Or(opts.Password, testsecret.Password)
	n := &Node{opts: opts, install: install, tempDir: opts.Dir == ""}
	if n.tempDir {
		if n.opts.Dir, err = os.MkdirTemp("", "warren-rabbitmq-"); err != nil {
			return nil, fmt.Errorf("create the RabbitMQ node's directory: %w", err)
		}
	}
	if err := n.layOut(); err != nil {
		n.Close()
		return nil, fmt.Errorf("lay out the RabbitMQ node's directory: %w", err)
	}
	return n, nil
}

// Addr returns "127.0.0.1:port", the same after a restart.
func (n *Node) Addr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.opts.Port))
}

// URL returns the AMQP URL of the node for the user guest, who may do
// anything. It is the same after a restart.
func (n *Node) URL() string {
	return "amqp://guest:" + n.opts.Password + "@" + n.Addr() + "/"
}

// Stop stops the node in order, as SIGTERM does, and waits until it is gone.
// A node that is down already is left so. One that has not stopped within 30
// seconds is killed, and that is an error.
func (n *Node) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return nil
	}
	p := n.proc
	p.Signal(syscall.SIGCONT) // a frozen node cannot stop
	p.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.Done:
		n.proc = nil
		return nil
	case <-timeout.C:
		n.kill()
		return fmt.Errorf("stop the RabbitMQ node: killed it, it had not stopped after %v", stopTimeout)
	}
}

// Kill ends the node at once, as a crash does, and waits until it is gone. A
// node that is down already is left so.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kill()
}

// kill is Kill for callers that hold the lock.
func (n *Node) kill() {
	if n.proc == nil {
		return
	}
	n.proc.Signal(syscall.SIGKILL)
	<-n.proc.Done
	n.proc = nil
}

// StartAgain starts a node that was stopped or killed, on the same ports and
// with the data it had, and returns once it speaks AMQP.
func (n *Node) StartAgain(ctx context.Context) error {
	return n.start(ctx)
}

// Restart stops the node in order and starts it again, see [Node.Stop] and
// [Node.StartAgain].
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(); err != nil {
		return err
	}
	return n.start(ctx)
}

// Freeze stops the node from running without ending it: connections stay open
// and nobody answers, until Thaw. It is an error where the node is down.
func (n *Node) Freeze() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return errors.New("freeze the RabbitMQ node: it is not running")
	}
	n.proc.Freeze()
	return nil
}

// Thaw lets a frozen node run on. It is an error where the node is down.
func (n *Node) Thaw() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return errors.New("thaw the RabbitMQ node: it is not running")
	}
	n.proc.Signal(syscall.SIGCONT)
	return nil
}

// Close kills the node and removes its data, unless Options named the
// directory. It may be called more than once.
func (n *Node) Close() {
	n.Kill()
	if n.tempDir {
		_ = os.RemoveAll(n.opts.Dir) // what cannot be removed is the system's to clean up
	}
}

// start launches the process and waits until it is ready.
func (n *Node) start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		return errors.New("start the RabbitMQ node: it is running already")
	}
	p, err := n.launch()
	if err != nil {
		return fmt.Errorf("start the RabbitMQ node: %w", err)
	}
	n.proc = p
	if err := n.awaitReady(ctx, p); err != nil {
		n.kill()
		return fmt.Errorf("start the RabbitMQ node: %w\n%s", err, n.LogTail())
	}
	return nil
}

// launch starts the process, with its output going to a file.
func (n *Node) launch() (*child.Process, error) {
	out, err := os.OpenFile(n.path("output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := n.command()
	cmd.Stdout, cmd.Stderr = out, out
	return child.Start(cmd, n.opts.Detached)
}

// greets is the name by which a node can be told from others: by default,
// RabbitMQ names its cluster after the node.
func (n *Node) greets() string {
	if n.opts.cluster != nil {
		return n.opts.cluster.name
	}
	return n.opts.Name + "@"
}

// awaitReady waits until the node answers on its port under its own name. The
// name matters: another node may have taken the port first.
func (n *Node) awaitReady(ctx context.Context, p *child.Process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		greeting, err := Handshake(ctx, n.Addr())
		if err == nil && strings.Contains(greeting, n.greets()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", context.Cause(ctx))
		case <-p.Done:
			return fmt.Errorf("it ended before it was ready: %w", p.Err())
		case <-tick.C:
		}
	}
}
