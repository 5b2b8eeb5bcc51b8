package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// alarm: publishers wait or get ErrBlocked by their deadline, and consumers go
// on with what is there.
func alarm(resource string) func(*trial) error {
	return func(t *trial) error {
		node, err := t.rig.Node(t.ctx)
		if err != nil {
			return err
		}
		set := map[string]func(bool) error{"memory": node.SetMemoryAlarm, "disk": node.SetDiskAlarm}[resource]
		b, err := t.open(node.URL())
		if err != nil {
			return err
		}
		q, err := t.declare(b)
		if err != nil {
			return err
		}
		patient := t.newLoad(b, b, q, spec{work: time.Millisecond})
		patient.consume(2)
		patient.publish(4)
		hasty := t.newLoad(b, b, q, spec{patience: 300 * time.Millisecond})
		err = t.disturb(patient, func() error { return t.alarmed(hasty, set) })
		t.took("Publish late by", max(hasty.lateness(), 0))
		t.expect(hasty.lateness() < punctual, "a Publish returned %s after its deadline", hasty.lateness())
		return err
	}
}

// alarmed raises the alarm, has a publisher that does not wait for its end,
// and consumers that do not care, and clears it.
func (t *trial) alarmed(hasty *load, set func(bool) error) error {
	if err := set(true); err != nil {
		return err
	}
	defer func() { t.expect(set(false) == nil, "the alarm was not cleared") }()
	now, _ := t.ledger.snapshot()
	more := min(50, now.Confirmed-now.Delivered)
	if err := t.ledger.await(t.ctx, func(b Totals) bool { return b.Delivered >= now.Delivered+more }); err != nil {
		return err
	}
	t.counted("delivered during the alarm, at least", more)
	err := hasty.send(t.ledger.next(t.ledger.publisher(), 1))
	t.expect(errors.Is(err, messaging.ErrBlocked), "Publish did not say that the broker blocks: %v", err)
	return nil
}

// fullQueue: what a full queue refuses is ErrRejected, and everything else is
// delivered.
func fullQueue(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	b, err := t.open(node.URL(), "reject_timeout=50ms")
	if err != nil {
		return err
	}
	q, err := t.declare(b, func(q *messaging.QueueSpec) { q.MaxLength = 50 })
	if err != nil {
		return err
	}
	l := t.load(b, b, q, spec{publishers: 8, consumers: 1, batch: 20, work: time.Millisecond})
	if err := l.progress(t.times); err != nil {
		return err
	}
	err = l.finish()
	t.expect(t.ledger.failures("rejected") > 0, "nothing was rejected: the queue was never full")
	return err
}

// tooLarge: one message of a call is over the limit, and the others arrive.
func tooLarge(t *trial) error {
	node, err := t.rig.Node(t.ctx)
	if err != nil {
		return err
	}
	b, err := t.open(node.URL(), "max_message_size=64KiB")
	if err != nil {
		return err
	}
	q, err := t.declare(b)
	if err != nil {
		return err
	}
	l := t.newLoad(b, b, q, ordinary)
	l.consume(1)
	me := t.ledger.publisher()
	for i := range t.times {
		msgs := t.ledger.next(me, 5)
		msgs[i%5].Body = make([]byte, 64<<10+1)
		err := l.send(msgs)
		t.expect(errors.Is(err, messaging.ErrTooLarge), "Publish returned %v", err)
	}
	n := t.ledger.failures("too large")
	t.expect(n == t.times, "%d messages failed as too large, and %d were", n, t.times)
	return l.finish()
}

// deliveryLimit: a message whose handling never comes to an end, because the
// connection is lost each time, is dead-lettered by its queue, as an operator
// has set it, and all others are handled.
func deliveryLimit(t *trial) error {
	node, err := t.node() // it closes the connections of everybody
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
	dead, err := t.declare(b)
	if err != nil {
		return err
	}
	policy := fmt.Sprintf(`rabbit_policy:set(<<"/">>, <<"limit">>, <<"^%s$">>, [{<<"delivery-limit">>, 3},
		{<<"dead-letter-exchange">>, <<>>}, {<<"dead-letter-routing-key">>, <<%q>>}], 0, <<"queues">>, <<"chaos">>)`, q.Name(), dead.Name())
	if _, err := node.Eval(policy); err != nil {
		return err
	}
	l := t.newLoad(b, b, q, spec{consumers: 4, prefetch: 1})
	me := t.ledger.publisher()
	poison := t.ledger.next(me, 1)
	started, broken := make(chan struct{}), make(chan struct{})
	l.handle = func(ctx context.Context, d *messaging.Delivery) error {
		if d.ID == poison[0].ID { // it has no end before that of the connection
			started <- struct{}{}
			<-broken
		}
		return nil // for the poison, this settles nothing any more
	}
	l.consume(4)
	if err := errors.Join(l.send(poison), l.send(t.ledger.next(me, 200))); err != nil {
		return err
	}
	return errors.Join(t.untilDead(node, started, broken, b, dead), l.finish())
}

// untilDead breaks the connection each time that the handler has started,
// until the message is among the dead letters.
func (t *trial) untilDead(node *rabbitmqtest.Node, started <-chan struct{}, broken chan<- struct{}, b messaging.Manager, dead messaging.Address) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-started:
			_, err := node.CloseConnections()
			broken <- struct{}{}
			if err != nil {
				return err
			}
			t.counted("attempts", 1)
		case <-tick.C:
			if info, err := b.Inspect(t.ctx, dead); err == nil && info.Ready > 0 {
				t.counted("dead-lettered", info.Ready)
				t.expect(info.Ready == 1, "%d messages were dead-lettered by the queue", info.Ready)
				return nil
			}
		case <-t.ctx.Done():
			return context.Cause(t.ctx)
		}
	}
}
