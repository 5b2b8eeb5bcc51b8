package rabbitmqtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/child"
)

// Cluster is several private nodes that form one broker. Its nodes can be
// killed, stopped, frozen and started again one by one, as any [Node].
type Cluster struct {
	Nodes []*Node

	epmd *child.Process // the Erlang names of the nodes, on a port of their own
	dir  string
}

// clusterOf is what a node knows of the cluster that it belongs to.
type clusterOf struct {
	name     string // of the cluster, which a member greets with
	epmdPort int
	cookie   string
}

// NewCluster starts so many nodes that form one broker, and closes them when
// the test ends.
func NewCluster(t testing.TB, size int) *Cluster {
	t.Helper()
	skipIfShort(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c, err := StartCluster(ctx, size)
	failOnStart(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Log(n.LogTail())
			}
		}
		c.Close()
	})
	return c
}

// StartCluster starts so many nodes that form one broker, which takes some ten
// seconds for three. Whoever starts a cluster closes it. It fails where
// [Start] does, and where the machine lacks Erlang's epmd.
func StartCluster(ctx context.Context, size int) (*Cluster, error) {
	install, err := findInstallation()
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	if err := c.start(ctx, install, size); err != nil {
		c.Close()
		return nil, fmt.Errorf("start a RabbitMQ cluster: %w", err)
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, install *installation, size int) error {
	var err error
	if c.dir, err = os.MkdirTemp("", "warren-rabbitmq-"); err != nil {
		return err
	}
	ports, err := FreePorts(1)
	if err != nil {
		return err
	}
	of := &clusterOf{
		name:     "warren-" + strings.ToLower(rand.Text()[:10]),
		epmdPort: ports[0],
		cookie:   rand.Text(),
	}
	if c.epmd, err = startEPMD(ctx, install, of.epmdPort); err != nil {
		return err
	}
	for i := range size {
		name := fmt.Sprintf("%s-%d", of.name, i+1)
		n, err := newNode(install, Options{Name: name, Dir: filepath.Join(c.dir, name), Config: of.config(name), cluster: of})
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c.form(ctx)
}

// config has each node look for the first one only, which is there before the
// others: a node waits for five seconds for those that are not.
func (of *clusterOf) config(node string) string {
	return fmt.Sprintf(`cluster_name = %s
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = %s-1@localhost
cluster_formation.classic_config.nodes.2 = %s@localhost
queue_master_locator = min-masters
`, of.name, of.name, node)
}

// form starts the first node, which the others join.
func (c *Cluster) form(ctx context.Context) error {
	if err := c.Nodes[0].start(ctx); err != nil {
		return err
	}
	errs := make([]error, len(c.Nodes))
	var all sync.WaitGroup
	for i, n := range c.Nodes[1:] {
		all.Go(func() { errs[i] = n.start(ctx) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.AwaitMembers(ctx)
}

// members counts the running members, on RabbitMQ 3 and 4.
const members = `length(case erlang:function_exported(rabbit_nodes, list_running, 0) of
	true -> rabbit_nodes:list_running();
	false -> rabbit_mnesia:cluster_nodes(running)
end)`

// AwaitMembers waits until every node sees every other.
func (c *Cluster) AwaitMembers(ctx context.Context) error {
	want := strconv.Itoa(len(c.Nodes))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := 0
		for _, n := range c.Nodes {
			if got, err := n.Eval(members); err != nil || got != want {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d nodes do not see all others: %w", missing, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Node returns the node whose Erlang name ("name@localhost") that is, or nil.
func (c *Cluster) Node(erlang string) *Node {
	for _, n := range c.Nodes {
		if n.nodeName() == strings.Trim(erlang, `'"`) {
			return n
		}
	}
	return nil
}

// Close kills the nodes and removes their data. It may be called more than
// once.
func (c *Cluster) Close() {
	for _, n := range c.Nodes {
		n.Close()
	}
	if c.epmd != nil {
		c.epmd.Signal(syscall.SIGKILL)
		<-c.epmd.Done
	}
	_ = os.RemoveAll(c.dir) // what cannot be removed is the system's to clean up
}

// startEPMD starts the daemon that tells Erlang nodes each other's ports: one
// of our own, in the foreground, which the machine's does not know of.
func startEPMD(ctx context.Context, install *installation, port int) (*child.Process, error) {
	if install.erl == "" || install.apps == nil {
		return nil, errors.New("a cluster needs erl in PATH and RabbitMQ's applications unpacked, as Debian's package has them")
	}
	epmd, err := exec.LookPath("epmd")
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cmd := exec.Command(epmd, "-port", strconv.Itoa(port), "-address", "127.0.0.1")
	p, err := child.Start(cmd, false)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return p, nil
		}
		select {
		case <-p.Done:
			return nil, fmt.Errorf("epmd ended: %w", p.Err())
		case <-ctx.Done():
			p.Signal(syscall.SIGKILL)
			<-p.Done
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
