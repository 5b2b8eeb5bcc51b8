package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// cutters is how many connections are cut side by side.
const cutters = 32

// steady is more than a subscription must have lived for its loss to be
// answered at once. After a shorter life it waits, longer each time.
const steady = 1100 * time.Millisecond

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
	t.ledger.even = true
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
	t.ledger.even = true
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
			if err := t.pause(steady); err != nil {
				return false, err
			}
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
			if err := t.pause(steady); err != nil {
				return err
			}
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
