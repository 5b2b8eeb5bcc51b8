// Command rabbitmq keeps one RabbitMQ node running on this machine for trying
// things out, from the installed rabbitmq-server:
//
//	go run ./internal/tools/rabbitmq up
//	go run ./internal/tools/rabbitmq down
//
// The node listens on 127.0.0.1:5672 and keeps its data in the user's cache
// directory from one up to the next: a user has one node, which the up and the
// down of every checkout are about. It needs neither root nor the
// distribution's service, and outlives the terminal it was started in.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("find a place for RabbitMQ's data: %w", err)
	}
	s := standing{rabbitmqtest.Options{
		Name:     "warren",
		Port:     5672,
		DistPort: 25690, // not the default, which the distribution's service may have
		Dir:      filepath.Join(cache, "warren-rabbitmq"),
		Password: "guest", // as everybody expects it on localhost:5672
		Detached: true,
	}}
	switch {
	case len(args) == 1 && args[0] == "up":
		return s.up(ctx, out)
	case len(args) == 1 && args[0] == "down":
		return s.down(ctx, out)
	default:
		return errors.New("usage: rabbitmq up|down")
	}
}

// standing is the node that outlives the command.
type standing struct{ opts rabbitmqtest.Options }

func (s standing) up(ctx context.Context, out io.Writer) error {
	pid, err := s.pid()
	if err != nil {
		return err
	}
	if pid != 0 {
		fmt.Fprintf(out, "RabbitMQ is already running (process %d).\n", pid)
		s.printUse(out)
		return nil
	}
	if err := s.checkPort(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	_, err = rabbitmqtest.Start(ctx, s.opts)
	if errors.Is(err, rabbitmqtest.ErrNotInstalled) {
		return errors.New("RabbitMQ is not installed: run `make rabbitmq-install`, or `docker compose up rabbitmq` where there is Docker")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "RabbitMQ is running; its data is kept in %s.\n", s.opts.Dir)
	s.printUse(out)
	return nil
}

func (s standing) printUse(out io.Writer) {
	fmt.Fprintf(out, "Point the programs at it with\n\n    export MESSAGING_URL=%s\n\nand stop it with `make rabbitmq-down`, here or in any other checkout of yours: there is one node for each user.\n", s.url())
}

func (s standing) url() string {
	return fmt.Sprintf("amqp://guest:guest@localhost:%d/", s.opts.Port)
}

// checkPort makes one sentence of a port that somebody else has.
func (s standing) checkPort(ctx context.Context) error {
	addr := fmt.Sprintf("127.0.0.1:%d", s.opts.Port)
	if l, err := net.Listen("tcp", addr); err == nil {
		return l.Close()
	}
	if _, err := rabbitmqtest.Handshake(ctx, addr); err == nil {
		return fmt.Errorf("port %d is taken by a broker that this command did not start: use that one (%s), or stop it first", s.opts.Port, s.url())
	}
	return fmt.Errorf("port %d is taken by something that is no AMQP broker: stop it first", s.opts.Port)
}

func (s standing) down(ctx context.Context, out io.Writer) error {
	pid, err := s.pid()
	if err != nil {
		return err
	}
	if pid == 0 {
		fmt.Fprintln(out, "RabbitMQ is not running.")
		return nil
	}
	if err := stop(ctx, pid); err != nil {
		return fmt.Errorf("stop RabbitMQ (process %d): %w", pid, err)
	}
	fmt.Fprintf(out, "RabbitMQ has stopped; its data is kept in %s.\n", s.opts.Dir)
	return nil
}

// pid returns the process of the running node, or 0. The node is asked for
// it: a number in a file could have become somebody else's.
func (s standing) pid() (int, error) {
	node, err := rabbitmqtest.Attach(s.opts)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, rabbitmqtest.ErrNotInstalled) {
		return 0, nil // never started
	}
	if err != nil {
		return 0, err
	}
	return node.PID()
}

// stop ends the process in order, and by force where it takes over half a minute.
func stop(ctx context.Context, pid int) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), syscall.Kill(-pid, syscall.SIGKILL))
		}
	}
}
