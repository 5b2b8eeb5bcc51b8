package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }

func TestUpAndDown(t *testing.T) {
	rabbitmqtest.SharedNode(t) // skips or fails where there is no RabbitMQ
	s := testNode(t)
	wantOutput(t, s.down, "is not running")
	wantOutput(t, s.up, "RabbitMQ is running", "export MESSAGING_URL="+s.url())
	wantOutput(t, s.up, "already running", "export MESSAGING_URL="+s.url())
	wantOutput(t, s.down, "has stopped")
	wantOutput(t, s.down, "is not running")
	wantOutput(t, s.up, "RabbitMQ is running")
	wantOutput(t, s.down, "has stopped")
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
