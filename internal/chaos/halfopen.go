package chaos

import (
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

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
