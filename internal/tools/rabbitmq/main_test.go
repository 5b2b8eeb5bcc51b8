package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) {
	if os.Getenv(starterEnv) != "" {
		starter(os.Getenv(starterEnv))
	}
	rabbitmqtest.Main(m)
}

// starterEnv makes the test binary a terminal's make rabbitmq-up: its value is
// the node's options.
const starterEnv = "WARREN_TEST_STARTER"

// starter starts the node, says so and waits for the end of its process.
func starter(options string) {
	var s standing
	err := json.Unmarshal([]byte(options), &s.opts)
	if err == nil {
		err = s.up(context.Background(), os.Stdout)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

func TestUpAndDown(t *testing.T) {
	rabbitmqtest.SharedNode(t) // skips or fails where there is no RabbitMQ
	s := testNode(t)
	wantOutput(t, s.down, "is not running")
	wantOutput(t, s.up, "RabbitMQ is running", "export MESSAGING_URL="+s.url())
	wantOutput(t, s.up, "already running", "export MESSAGING_URL="+s.url())
	wantOutput(t, s.down, "has stopped")
	wantOutput(t, s.down, "is not running")
	upInATerminalThatIsClosed(t, s)
	wantOutput(t, s.up, "already running")
	wantOutput(t, s.down, "has stopped")
}

// upInATerminalThatIsClosed has another process start the node, whose group then
// gets what CTRL+C and the end of a terminal send. The node must not notice.
func upInATerminalThatIsClosed(t *testing.T, s standing) {
	t.Helper()
	options, err := json.Marshal(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), starterEnv+"="+string(options))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if said, err := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(said, "RabbitMQ is running") {
		t.Errorf("the other process said %q, %v", said, err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL} {
		_ = syscall.Kill(-cmd.Process.Pid, signal) // the first may have ended it
	}
	_ = cmd.Wait() // it was killed
}

func TestUpWhereAnotherBrokerListens(t *testing.T) {
	s := testNode(t)
	s.opts.Port = portOf(t, rabbitmqtest.SharedNode(t).Addr())
	wantError(t, s, "is taken by a broker that this command did not start")
}

func TestUpWhereSomethingElseListens(t *testing.T) {
	s := testNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	s.opts.Port = portOf(t, l.Addr().String())
	wantError(t, s, "is taken by something that is no AMQP broker")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"sideways"}, {"up", "down"}} {
		if err := run(t.Context(), args, t.Output()); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%q: got %v, want the usage", args, err)
		}
	}
}

// testNode is a standing node of the test's own, stopped when it ends.
func testNode(t *testing.T) standing {
	t.Helper()
	ports, err := rabbitmqtest.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	s := standing{rabbitmqtest.Options{
		Name:     "standing-test",
		Port:     ports[0],
		DistPort: ports[1],
		Dir:      t.TempDir(),
		Password: "guest",
		Detached: true,
	}}
	t.Cleanup(func() {
		if err := s.down(context.Background(), t.Output()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return resolved.Port
}

func wantOutput(t *testing.T, command func(context.Context, io.Writer) error, want ...string) {
	t.Helper()
	var out strings.Builder
	if err := command(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, text := range want {
		if !strings.Contains(out.String(), text) {
			t.Errorf("printed %q, want %q in it", out.String(), text)
		}
	}
}

func wantError(t *testing.T, s standing, want string) {
	t.Helper()
	if err := s.up(t.Context(), t.Output()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}
