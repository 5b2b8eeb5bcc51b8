package chaos

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

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
