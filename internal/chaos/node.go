package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// killNode: what was confirmed survives the crash of the only node, and the
// connections and subscriptions come back by themselves.
func killNode(queueType string) func(*trial) error {
	return func(t *trial) error {
		node, err := t.node()
		if err != nil {
			return err
		}
		b, err := t.open(node.URL(), "queue_type="+queueType)
		if err != nil {
			return err
		}
		q, err := t.declare(b)
		if err := errors.Join(err, t.sync(node)); err != nil {
			return err
		}
		l := t.load(b, b, q, spec{publishers: 64, consumers: 8})
		for range t.times {
			if err := l.progress(1000); err != nil {
				return err
			}
			node.Kill()
			if err := node.StartAgain(t.ctx); err != nil {
				return err
			}
			if err := l.resumed(); err != nil {
				return err
			}
		}
		return l.finish()
	}
}

// disturb has the load of some publishers and consumers go on over what f
// does, time and again. Everything runs over one connection of each kind.
func (t *trial) disturb(l *load, f func() error) error {
	for range t.times {
		if err := l.progress(200); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		if err := l.resumed(); err != nil {
			return err
		}
	}
	return l.finish()
}

// ordinary is the load where the fault needs no special one.
var ordinary = spec{publishers: 8, consumers: 4}

func closeConnections(t *trial) error {
	node, err := t.node() // it closes those of everybody
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
	return t.disturb(t.load(b, b, q, ordinary), func() error {
		n, err := node.CloseConnections()
		t.expect(n == 2, "the broker closed %d connections", n)
		return err
	})
}

// channelErrors: the broker closes every channel, of publishers and of
// consumers, for an acknowledgement that cannot be right.
func channelErrors(t *trial) error {
	node, err := t.node() // it closes those of everybody
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
	return t.disturb(t.load(b, b, q, ordinary), func() error {
		n, err := node.Eval(`length([rabbit_channel:do(C, {'basic.ack', 1 bsl 60, false}) || C <- rabbit_channel:list_local()])`)
		channels, _ := strconv.Atoi(n)
		t.counted("channels closed", channels)
		return err
	})
}

// cancelConsumers: a queue whose process crashed is started again by the
// broker, which tells its consumers that they are cancelled. It does so five
// times in ten seconds, and then leaves the queue dead.
func cancelConsumers(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	b, err := t.open(node.URL(), "queue_type=classic")
	if err != nil {
		return err
	}
	q, err := t.declare(b)
	if err != nil {
		return err
	}
	crash := fmt.Sprintf(`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<%q>>)), exit(amqqueue:get_pid(Q), kill)`, q.Name())
	return t.disturb(t.load(b, b, q, ordinary), func() error {
		_, err := node.Eval(crash)
		return err
	})
}

// deleteQueue: what is in a queue that is deleted is gone by somebody's will,
// so it is deleted when it is empty and nobody publishes.
func deleteQueue(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	admin, err := t.open(node.URL())
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
	l := t.newLoad(b, b, q, ordinary)
	l.consume(4)
	for range t.times {
		l.publish(8)
		if err := l.progress(200); err != nil {
			return err
		}
		l.publishing.end()
		if err := t.ledger.settle(t.ctx, lossPatience, quiet); err != nil {
			return err
		}
		if err := admin.Delete(t.ctx, q); err != nil {
			return err
		}
		began := time.Now()
		if err := t.awaitQueue(admin, q); err != nil {
			return err
		}
		t.took("resumed within", time.Since(began))
	}
	return l.finish()
}

// awaitQueue waits until somebody has declared a queue again.
func (t *trial) awaitQueue(m messaging.Manager, q messaging.Address) error {
	return t.until(func() bool {
		_, err := m.Inspect(t.ctx, q)
		return err == nil
	})
}

// until polls what tells no news of itself.
func (t *trial) until(ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-t.ctx.Done():
			return context.Cause(t.ctx)
		}
	}
	return nil
}

// consumerTimeout: the broker closes the channel of a consumer that has not
// settled in time, and gives its messages to others.
func consumerTimeout(t *trial) error {
	node, err := t.node() // one of its own: the timeout is for all queues
	if err != nil {
		return err
	}
	const limits = `application:set_env(rabbit, channel_tick_interval, 200), application:set_env(rabbit, consumer_timeout, 1000)`
	if _, err := node.Eval(limits); err != nil {
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
	l := t.newLoad(b, b, q, ordinary)
	stuck, free := make(chan struct{}), make(chan struct{})
	l.handle = func(ctx context.Context, d *messaging.Delivery) error {
		select {
		case stuck <- struct{}{}: // the one that the fault waits for
			select {
			case <-free:
			case <-ctx.Done():
			}
		default:
		}
		return nil
	}
	l.consume(l.spec.consumers)
	l.publish(l.spec.publishers)
	return t.disturb(l, func() error {
		<-stuck
		before := t.log.lines()
		defer func() { free <- struct{}{} }()
		began := time.Now()
		err := t.until(func() bool { return t.log.lines() > before })
		t.took("noticed within", time.Since(began))
		return err
	})
}
