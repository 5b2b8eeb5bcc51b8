package packaging

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	compose "github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// project is compose.yaml as docker compose reads it, strictly by the
// Compose Specification.
func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := compose.NewProjectOptions([]string{filepath.Join(root(t), "compose.yaml")}, compose.WithName("warren"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func service(t *testing.T, name string) types.ServiceConfig {
	t.Helper()
	s, err := project(t).GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCompose(t *testing.T) {
	targets := []string{}
	for _, s := range project(t).Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s has no health check", s.Name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is for other machines too", s.Name, port.Published)
			}
		}
		if s.Build == nil {
			continue
		}
		targets = append(targets, s.Build.Target)
		if d := s.DependsOn["rabbitmq"]; d.Condition != types.ServiceConditionHealthy {
			t.Errorf("%s does not wait for the broker: %+v", s.Name, d)
		}
		if grace := s.StopGracePeriod; grace == nil || time.Duration(*grace) <= 30*time.Second {
			t.Errorf("%s: its grace period is not more than its --shutdown-timeout", s.Name)
		}
	}
	slices.Sort(targets)
	if want := []string{"consumer", "producer"}; !slices.Equal(targets, want) {
		t.Errorf("the services are built from %q, want %q", targets, want)
	}
	consumer := service(t, "consumer")
	if n := consumer.GetScale(); n != 2 {
		t.Errorf("there are %d consumers, want 2", n)
	}
	if image := service(t, "rabbitmq").Image; image != "rabbitmq:4-management" {
		t.Errorf("the broker is %s", image)
	}
}

// TestComposeRuns runs the services' commands in their environment, and their
// health checks, without the containers around them.
func TestComposeRuns(t *testing.T) {
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	dir := t.TempDir()
	output(t, root(t), nil, "go", "build", "-o", dir, "./apps/...")

	producer := newContainer(t, service(t, "producer"), dir, node)
	consumers := []*container{
		newContainer(t, service(t, "consumer"), dir, node),
		newContainer(t, service(t, "consumer"), dir, node),
	}
	if err := producer.healthcheck(t); err == nil {
		t.Error("the producer is healthy before it was started")
	}
	for _, c := range append(consumers, producer) {
		c.start(t)
	}
	for _, c := range append(consumers, producer) {
		c.awaitHealthy(t)
	}
	for _, c := range consumers {
		c.screen.Await(t, " [x] Received ", 1)
	}
	if err := node.Stop(); err != nil {
		t.Fatal(err)
	}
	consumers[0].await(t, "is no longer healthy without its broker", func(err error) bool { return err != nil })
	if err := node.StartAgain(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, c := range append(consumers, producer) {
		c.awaitHealthy(t)
	}
	for _, c := range consumers {
		if err := c.stop(t); err != nil {
			t.Errorf("the consumer's end: %v", err)
		}
	}
}

// container is a service's process, with a port of its own.
type container struct {
	service types.ServiceConfig
	dir     string
	url     string
	port    string
	cmd     *exec.Cmd
	screen  clitest.Screen
}

func newContainer(t *testing.T, s types.ServiceConfig, dir string, node *rabbitmqtest.Node) *container {
	t.Helper()
	ports, err := rabbitmqtest.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	url := *s.Environment["MESSAGING_URL"]
	if !strings.Contains(url, "@rabbitmq:5672/") {
		t.Fatalf("%s: its broker is not the service rabbitmq", s.Name)
	}
	// The node's password is its own.
	return &container{service: s, dir: dir, port: strconv.Itoa(ports[0]), url: node.URL()}
}

// start does what an engine does: the image's entry point with the service's
// command. What listens on all addresses in a container does so on this
// machine's own.
func (c *container) start(t *testing.T) {
	t.Helper()
	args := slices.Clone(c.service.Command)
	at := slices.Index(args, "0.0.0.0:8080")
	if at < 1 || args[at-1] != "--http" {
		t.Fatalf("%s does not serve port 8080: %q", c.service.Name, args)
	}
	args[at] = net.JoinHostPort("127.0.0.1", c.port)
	c.cmd = exec.Command(filepath.Join(c.dir, c.service.Build.Target), args...)
	c.cmd.Env = []string{"MESSAGING_URL=" + c.url}
	c.cmd.Stdout, c.cmd.Stderr = &c.screen, &c.screen
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", c.service.Name, &c.screen)
		}
	})
}

func (c *container) stop(t *testing.T) error {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return c.cmd.Wait()
}

// healthcheck runs the service's health check, once.
func (c *container) healthcheck(t *testing.T) error {
	t.Helper()
	test := c.service.HealthCheck.Test
	if len(test) < 2 || test[0] != "CMD" || test[1] != "/"+c.service.Build.Target {
		t.Fatalf("%s: its health check %q needs more than the image has", c.service.Name, test)
	}
	args := slices.Clone([]string(test[2:]))
	for i := range args {
		args[i] = strings.Replace(args[i], "127.0.0.1:8080", "127.0.0.1:"+c.port, 1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*c.service.HealthCheck.Timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.dir, c.service.Build.Target), args...)
	cmd.Env = []string{}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (c *container) awaitHealthy(t *testing.T) {
	t.Helper()
	c.await(t, "is healthy", func(err error) bool { return err == nil })
}

// await runs the health check again and again, as an engine does, but more often.
func (c *container) await(t *testing.T, what string, want func(error) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		err := c.healthcheck(t)
		if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			t.Fatalf("%s: the health check cannot be run: %v", c.service.Name, err)
		}
		if want(err) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s %s: %v", c.service.Name, what, err)
		}
	}
}
