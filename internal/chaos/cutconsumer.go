package chaos

import (
	"context"
	"sync"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

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
