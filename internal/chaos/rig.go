package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// Rig is what the faults of one kind share, each started when the first asks
// for it. Whoever makes one closes it.
type Rig struct {
	mu      sync.Mutex
	node    *rabbitmqtest.Node
	cluster *rabbitmqtest.Cluster
	bin     string
}

// Node returns a node that faults may disturb and not kill.
func (r *Rig) Node(ctx context.Context) (*rabbitmqtest.Node, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.node == nil {
		r.node, err = rabbitmqtest.Start(ctx, rabbitmqtest.Options{})
	}
	return r.node, err
}

// Cluster returns three nodes that are one broker.
func (r *Rig) Cluster(ctx context.Context) (*rabbitmqtest.Cluster, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.cluster == nil {
		r.cluster, err = rabbitmqtest.StartCluster(ctx, 3)
	}
	return r.cluster, err
}

// App returns the path of one of the programs in apps, built for this run.
func (r *Rig) App(ctx context.Context, name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bin == "" {
		dir, err := os.MkdirTemp("", "warren-chaos-")
		if err != nil {
			return "", err
		}
		r.bin = dir
		out, err := exec.CommandContext(ctx, "go", "build", "-o", dir, "github.com/warrenmq/warren/apps/...").CombinedOutput()
		if err != nil {
			return "", errors.Join(fmt.Errorf("build the programs: %s", out), err)
		}
	}
	return filepath.Join(r.bin, name), nil
}

// Close ends and removes everything.
func (r *Rig) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.node != nil {
		r.node.Close()
	}
	if r.cluster != nil {
		r.cluster.Close()
	}
	if r.bin != "" {
		_ = os.RemoveAll(r.bin) // what cannot be removed is the system's to clean up
	}
}
