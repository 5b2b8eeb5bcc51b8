package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// cutters is how many connections are cut side by side.
const cutters = 8

// directions are those in which a byte can be the last.
var directions = []rabbitmqtest.Direction{rabbitmqtest.ToBroker, rabbitmqtest.ToClient}

// everyOffset calls exchange with every offset at which the connection can be
// cut in it, each direction by itself. exchange returns false when the cut did
// not come: then the offset is behind the exchange's end.
func (t *trial) everyOffset(start func() (exchange func(rabbitmqtest.Direction, int) (bool, error), err error)) error {
	errs := make([]error, cutters)
	var all sync.WaitGroup
	for i := range cutters {
		all.Go(func() {
			exchange, err := start()
			if err != nil {
				errs[i] = err
				return
			}
			for _, d := range directions {
				for offset := i; ; offset += cutters {
					cut, err := exchange(d, offset)
					if err != nil {
						errs[i] = fmt.Errorf("cut after %d bytes: %w", offset, err)
						return
					}
					if !cut {
						break
					}
					t.counted("cuts", 1)
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// cutPublish: wherever the connection is cut, Publish returns nil in the end,
// and the message is there.
func cutPublish(t *trial) error {
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
	drain := t.newLoad(b, b, q, spec{})
	drain.consume(1)
	err = t.everyOffset(func() (func(rabbitmqtest.Direction, int) (bool, error), error) {
		_, proxy, err := t.proxied()
		if err != nil {
			return nil, err
		}
		b, err := t.open(proxy.URL(node.URL()))
		if err != nil {
			return nil, err
		}
		l, me := t.newLoad(b, b, q, spec{}), t.ledger.publisher()
		return func(d rabbitmqtest.Direction, offset int) (bool, error) {
			if err := l.send(t.ledger.next(me, 1)); err != nil { // connected, and with a channel
				return false, err
			}
			before := proxy.Cuts()
			proxy.CutAfter(offset, d)
			err := l.send(t.ledger.next(me, 1))
			proxy.CutAfter(-1, d)
			return proxy.Cuts() > before, err
		}, nil
	})
	return errors.Join(err, drain.finish())
}

// cutDeliver: wherever the connection is cut, the message is handled, and
// after its acknowledgement has arrived, not again.
func cutDeliver(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	direct, err := t.open(node.URL())
	if err != nil {
		return err
	}
	err = t.everyOffset(func() (func(rabbitmqtest.Direction, int) (bool, error), error) {
		c, err := t.cutConsumer(direct)
		if err != nil {
			return nil, err
		}
		l, me := t.newLoad(direct, direct, c.queue, spec{}), t.ledger.publisher()
		return func(d rabbitmqtest.Direction, offset int) (bool, error) {
			before := c.proxy.Cuts()
			c.proxy.CutAfter(offset, d)
			msgs := t.ledger.next(me, 1)
			if err := l.send(msgs); err != nil {
				return false, err
			}
			cut := c.cut(before)
			c.proxy.CutAfter(-1, d)
			if !cut {
				return false, nil
			}
			return true, errors.Join(c.subscribed(), c.acknowledged(msgs[0].ID))
		}, nil
	})
	return errors.Join(err, t.ledger.settle(t.ctx, lossPatience, quiet))
}

// cutConsumer is a consumer of its own queue whose connection can be cut.
type cutConsumer struct {
	t     *trial
	proxy *rabbitmqtest.Proxy
	queue messaging.Address
	ready chan struct{}

	mu    sync.Mutex
	again map[string]int // by ID, for what came again: how many bytes had passed to the broker then
}

// ackFrame is how long an acknowledgement is: a frame's 8 bytes around a method
// of 13.
const ackFrame = 21

// handle notes what comes again, as everything does after a cut.
func (c *cutConsumer) handle(_ context.Context, d *messaging.Delivery) error {
	if d.Redelivered {
		c.mu.Lock()
		c.again[d.ID] = c.proxy.Passed(rabbitmqtest.ToBroker)
		c.mu.Unlock()
	}
	c.t.ledger.delivered(0, d)
	return nil
}

// acknowledged waits until a message has come again and its acknowledgement
// has passed, so that the next cut is for the next message.
func (c *cutConsumer) acknowledged(id string) error {
	return c.t.until(func() bool {
		c.mu.Lock()
		at, came := c.again[id]
		c.mu.Unlock()
		return came && c.proxy.Passed(rabbitmqtest.ToBroker) >= at+ackFrame
	})
}

func (t *trial) cutConsumer(direct messaging.Manager) (*cutConsumer, error) {
	node, proxy, err := t.proxied()
	if err != nil {
		return nil, err
	}
	b, err := t.open(proxy.URL(node.URL()))
	if err != nil {
		return nil, err
	}
	q, err := t.declare(direct)
	if err != nil {
		return nil, err
	}
	c := &cutConsumer{t: t, proxy: proxy, queue: q, ready: make(chan struct{}, 100), again: map[string]int{}}
	ctx, stop := context.WithCancel(t.ctx)
	var running sync.WaitGroup
	running.Go(func() {
		src := messaging.Source{Address: q, Ready: func() { c.ready <- struct{}{} }}
		err := b.Subscribe(ctx, src, c.handle)
		t.expect(err == nil, "%v", err)
	})
	t.cleanup(func() { stop(); running.Wait() })
	return c, c.subscribed()
}

// cut waits for the cut, and returns false where it does not come: within the
// time that a delivery and its acknowledgement take many times over.
func (c *cutConsumer) cut(before int) bool {
	deadline := time.Now().Add(500 * time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if c.proxy.Cuts() > before {
			return true
		}
		<-tick.C
	}
	return false
}

// subscribed waits for the next subscription.
func (c *cutConsumer) subscribed() error {
	select {
	case <-c.ready:
		return nil
	case <-c.t.ctx.Done():
		return context.Cause(c.t.ctx)
	}
}

// cutHundred cuts where a hundred messages are on their way together. The
// places are the same in every run.
func cutHundred(t *trial) error {
	node, proxy, err := t.proxied()
	if err != nil {
		return err
	}
	var through, direct *rabbitmq.Broker
	if through, err = t.open(proxy.URL(node.URL())); err != nil {
		return err
	}
	if direct, err = t.open(node.URL()); err != nil {
		return err
	}
	for name, way := range map[string][2]*rabbitmq.Broker{"publishing": {through, direct}, "consuming": {direct, through}} {
		if err := t.cutRandomly(name, proxy, way[0], way[1]); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) cutRandomly(name string, proxy *rabbitmqtest.Proxy, from, to *rabbitmq.Broker) error {
	q, err := t.declare(from)
	if err != nil {
		return err
	}
	l := t.newLoad(from, to, q, spec{})
	l.consume(1)
	me := t.ledger.publisher()
	hundred := func() error {
		now, _ := t.ledger.snapshot()
		if err := l.send(t.ledger.next(me, 100)); err != nil {
			return err
		}
		return t.ledger.await(t.ctx, func(b Totals) bool { return b.Delivered >= now.Delivered+100 })
	}
	if err := hundred(); err != nil { // connected
		return err
	}
	random := rand.New(rand.NewPCG(1, uint64(len(name))))
	for _, d := range directions {
		before := proxy.Passed(d)
		if err := hundred(); err != nil {
			return err
		}
		length := proxy.Passed(d) - before
		for range t.times / 4 {
			before := proxy.Cuts()
			proxy.CutAfter(random.IntN(length), d)
			if err := hundred(); err != nil {
				return err
			}
			proxy.CutAfter(-1, d)
			t.counted("cuts while "+name, proxy.Cuts()-before)
		}
	}
	return l.finish()
}

// halfOpen: packets vanish, and nobody is told. Publishers return by their
// deadline, heartbeats find out, and both sides go on when packets pass again.
func halfOpen(t *trial) error {
	node, proxy, err := t.proxied()
	if err != nil {
		return err
	}
	b, err := t.open(proxy.URL(node.URL()), "heartbeat=1s&connect_timeout=1s")
	if err != nil {
		return err
	}
	q, err := t.declare(b)
	if err != nil {
		return err
	}
	l := t.load(b, b, q, spec{publishers: 8, consumers: 4, patience: 500 * time.Millisecond})
	round := 0
	err = t.disturb(l, func() error {
		ways := []rabbitmqtest.Direction{rabbitmqtest.BothWays, rabbitmqtest.ToBroker, rabbitmqtest.ToClient}
		way := ways[round%len(ways)]
		round++
		before := time.Now()
		proxy.Blackhole(way, true)
		defer proxy.Blackhole(way, false)
		err := t.until(func() bool {
			h := b.Health()
			return h.State != messaging.Connected && h.Since.After(before)
		})
		t.took("noticed within", time.Since(before))
		return err
	})
	t.took("Publish late by", max(l.lateness(), 0))
	t.expect(l.lateness() < punctual, "a Publish returned %s after its deadline", l.lateness())
	return err
}

// punctual is how late a Publish may return on a machine that is busy with
// everything else; the rule says 50 ms, and a case of the contract sees to it.
const punctual = 250 * time.Millisecond
