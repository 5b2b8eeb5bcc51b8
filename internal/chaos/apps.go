package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/warrenmq/warren/internal/child"
	"github.com/warrenmq/warren/pkg/messaging"
)

// app is one of the programs, running.
type app struct {
	*child.Process
	t     *trial
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// start runs a program on a broker. Each line that it prints goes to line,
// from one goroutine.
func (t *trial) start(url, name string, line func(string), args ...string) (*app, error) {
	path, err := t.rig.App(t.ctx, name)
	if err != nil {
		return nil, err
	}
	a := &app{t: t, cmd: exec.Command(path, args...)}
	a.cmd.Env = append(os.Environ(), "MESSAGING_URL="+url)
	a.cmd.Stdout, a.cmd.Stderr = &lines{each: line}, &t.log
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if a.Process, err = child.Start(a.cmd, false); err != nil {
		return nil, err
	}
	t.cleanup(a.kill)
	return a, nil
}

// kill ends the program as kill -9 does, unless it has ended.
func (a *app) kill() {
	a.Signal(syscall.SIGKILL)
	<-a.Done
}

// terminate asks the program to end, and returns its exit status.
func (a *app) terminate() (int, error) {
	a.Signal(syscall.SIGTERM)
	select {
	case <-a.Done:
		return a.cmd.ProcessState.ExitCode(), nil
	case <-a.t.ctx.Done():
		return 0, context.Cause(a.t.ctx)
	}
}

// lines is a writer that passes on whole lines, without their ends.
type lines struct {
	each func(string)
	rest []byte
}

// Write implements [io.Writer].
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.each(string(line))
		l.rest = rest
	}
}

// quoted returns what stands between quotes in a line of a program, and
// whether it begins as it should.
func quoted(line, begin string) (string, bool) {
	rest, ok := strings.CutPrefix(line, begin+"'")
	text, _, found := strings.Cut(rest, "'")
	return text, ok && found
}

// consumerApp is the consumer, whose lines go into the books.
type consumerApp struct {
	*app
	handling chan string // each message that it begins to handle, where somebody wants to know
}

// consumer starts the consumer program. A message counts as delivered when the
// program says that its work is done, or, without work, that it received it.
func (t *trial) consumer(url string, q messaging.Address, number int, work time.Duration) (*consumerApp, error) {
	c := &consumerApp{handling: make(chan string)}
	begun, again := "", false
	ready := make(chan struct{})
	line := func(line string) {
		if strings.HasPrefix(line, " [*] Waiting") {
			close(ready)
		}
		if text, ok := quoted(line, " [x] Received "); ok {
			begun, again = strings.TrimSuffix(text, "."), strings.Contains(line, "(redelivered)")
			select {
			case c.handling <- begun:
			default:
			}
			if work == 0 {
				t.ledger.receive(number, begun, again, true)
			}
		}
		if strings.HasPrefix(line, " [x] Done") {
			t.ledger.receive(number, begun, again, true)
		}
	}
	var err error
	c.app, err = t.start(url, "consumer", line, "--queue", q.Name(), "--work", work.String(), "--prefetch", "20")
	if err != nil {
		return nil, err
	}
	select {
	case <-ready:
		return c, nil
	case <-c.Done:
		return nil, errors.New("the consumer program ended before it was ready")
	}
}

// killConsumer: what a consumer process was handling when it was killed is
// handled by those that are left.
func killConsumer(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	b, err := t.open(node.URL())
	if err != nil {
		return err
	}
	q, err := t.declare(b)
	if err != nil {
		return err
	}
	const consumers, work = 3, 20 * time.Millisecond
	var running []*consumerApp
	for i := range consumers {
		c, err := t.consumer(node.URL(), q, i, work)
		if err != nil {
			return err
		}
		running = append(running, c)
	}
	l := t.newLoad(b, b, q, spec{backlog: 100})
	l.plain = true
	l.publish(4)
	for i := range t.times {
		victim := running[i%consumers]
		select {
		case <-victim.handling:
			victim.kill()
		case <-t.ctx.Done():
			return context.Cause(t.ctx)
		}
		if err := l.progress(20); err != nil { // by the others
			return err
		}
		if running[i%consumers], err = t.consumer(node.URL(), q, consumers+i, work); err != nil {
			return err
		}
	}
	return l.finish()
}

// producerApp is the producer, which gets its messages from standard input.
type producerApp struct {
	*app
	feeding sync.WaitGroup
}

// producer starts the producer program and feeds it with messages until it
// ends. Those that it prints as sent are confirmed.
func (t *trial) producer(url string, q messaging.Address) (*producerApp, error) {
	p := &producerApp{}
	var err error
	p.app, err = t.start(url, "producer", func(line string) {
		if id, ok := quoted(line, " [x] Sent "); ok {
			t.ledger.book([]*messaging.Message{{ID: id}}, nil)
		}
	}, "--queue", q.Name(), "-")
	if err != nil {
		return nil, err
	}
	me := t.ledger.publisher()
	ctx, ended := context.WithCancel(t.ctx)
	go func() { <-p.Done; ended() }()
	p.feeding.Go(func() {
		for {
			few := func(b Totals) bool { return b.Lost < 500 }
			id, _ := t.ledger.enter(me)
			if _, err := fmt.Fprintln(p.stdin, id); err != nil || t.ledger.await(ctx, few) != nil {
				return // the program has ended
			}
		}
	})
	return p, nil
}

// stop ends the program in order, and checks that it ended well.
func (p *producerApp) stop() error {
	status, err := p.terminate()
	p.t.expect(status == 0, "the producer ended with status %d", status)
	p.feeding.Wait()
	return err
}

// sigterm: programs that are told to end under load finish what they began,
// and end well. Nothing is handled twice.
func sigterm(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	b, err := t.open(node.URL())
	if err != nil {
		return err
	}
	q, err := t.declare(b)
	if err != nil {
		return err
	}
	stays, err := t.consumer(node.URL(), q, 0, 0)
	if err != nil {
		return err
	}
	books := t.newLoad(b, b, q, spec{})
	for i := range t.times {
		c, err := t.consumer(node.URL(), q, 1+i, 0)
		if err != nil {
			return err
		}
		p, err := t.producer(node.URL(), q)
		if err != nil {
			return err
		}
		if err := books.progress(100); err != nil {
			return err
		}
		began := time.Now()
		status, err := c.terminate()
		t.expect(status == 0, "the consumer ended with status %d", status)
		t.took("consumer ended within", time.Since(began))
		began = time.Now()
		if err := errors.Join(err, p.stop()); err != nil {
			return err
		}
		t.took("producer ended within", time.Since(began))
	}
	if err := books.finish(); err != nil {
		return err
	}
	status, err := stays.terminate()
	t.expect(status == 0, "the consumer ended with status %d", status)
	return err
}

// drain: handlers that run when their subscription is told to end have the
// time that they need, and what they did is settled.
func drain(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	b, err := t.open(node.URL())
	if err != nil {
		return err
	}
	for range t.times {
		if err := t.drainOnce(b); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) drainOnce(b messaging.Broker) error {
	const handlers, need = 8, 2 * time.Second
	q, err := t.declare(b)
	if err != nil {
		return err
	}
	me := t.ledger.publisher()
	l := t.newLoad(b, b, q, spec{})
	if err := l.send(t.ledger.next(me, 5*handlers)); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(t.ctx)
	defer stop()
	var running sync.WaitGroup
	var number atomic.Int64 // handlers that run at once are in no order
	running.Add(handlers)
	go func() { running.Wait(); stop() }() // it ends with the eighth handler
	began := time.Now()
	err = b.Subscribe(ctx, messaging.Source{Address: q, Concurrency: handlers},
		func(_ context.Context, d *messaging.Delivery) error {
			t.ledger.delivered(int(number.Add(1)), d)
			running.Done()
			time.Sleep(need)
			return nil
		})
	t.took("ended within", time.Since(began))
	if err != nil {
		return err
	}
	l.consume(1) // the others
	return l.finish()
}
