package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

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
