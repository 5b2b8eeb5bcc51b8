package rabbitmq

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// declared is a queue that this Broker has declared, and not with the zero
// spec: where it is missing, it is declared again like that. An exclusive one
// goes with the connection and is declared again on the next.
type declared struct {
	spec    messaging.QueueSpec
	on      *generation // where it has been declared
	readers int         // subscriptions of this Broker
}

// maxDeclared is how many are remembered: programs without end declare queues
// that delete themselves.
const maxDeclared = 10_000

// remember notes a queue that has been declared on g.
func (b *Broker) remember(g *generation, q messaging.QueueSpec) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.declared[q.Name]
	if d == nil {
		if q == (messaging.QueueSpec{Name: q.Name}) {
			return
		}
		b.forgetOne()
		d = &declared{}
		b.declared[q.Name] = d
	}
	d.spec, d.on = q, g
}

// forgetOne makes room. It needs b.mu.
func (b *Broker) forgetOne() {
	if len(b.declared) < maxDeclared {
		return
	}
	for name, d := range b.declared {
		if !d.spec.Exclusive && d.readers == 0 {
			delete(b.declared, name)
			return
		}
	}
}

func (b *Broker) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.declared, name)
}

// specOf is what a queue is declared with where it is missing.
func (b *Broker) specOf(name string) messaging.QueueSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.declared[name]; d != nil {
		return d.spec
	}
	return messaging.QueueSpec{Name: name}
}

// read notes a subscription to a queue, until the function that it returns is
// called. When the last one ends, the broker deletes a queue with AutoDelete,
// and so it is not to be declared again.
func (b *Broker) read(name string) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.declared[name]
	if d == nil {
		return func() {}
	}
	d.readers++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if d.readers--; d.readers == 0 && d.spec.AutoDelete && b.declared[name] == d {
			delete(b.declared, name)
		}
	}
}

func (b *Broker) exclusiveSpecs() []messaging.QueueSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	var specs []messaging.QueueSpec
	for _, name := range slices.Sorted(maps.Keys(b.declared)) {
		if d := b.declared[name]; d.spec.Exclusive {
			specs = append(specs, d.spec)
		}
	}
	return specs
}

// restoreExclusives declares on a new connection the exclusive queues that
// went with the old one. Where the broker has not noticed yet that the old one
// is gone, it keeps them locked: then the subscription to the queue goes on
// trying, and the others need not wait for that.
func (b *Broker) restoreExclusives(g *generation) error {
	for _, q := range b.exclusiveSpecs() {
		err := b.restore(g, q)
		switch {
		case code(err) == amqp.ResourceLocked:
			b.cfg.log.Warn("an exclusive queue still belongs to the lost connection", "queue", q.Name, "error", err)
		case err != nil:
			return fmt.Errorf("declare the exclusive queue %s again: %w", q.Name, explain(err))
		}
	}
	return nil
}

// restore declares an exclusive queue on g, where it is not there yet.
func (b *Broker) restore(g *generation, q messaging.QueueSpec) error {
	if on := b.exclusiveOn(q.Name); on == nil || on == g { // nil: nobody wants it any more
		return nil
	}
	if err := b.declare(g, q); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.declared[q.Name]; d != nil {
		d.on = g
	}
	return nil
}

// exclusiveOn is the connection on which an exclusive queue was declared last,
// nil where it is none.
func (b *Broker) exclusiveOn(name string) *generation {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.declared[name]; d != nil && d.spec.Exclusive {
		return d.on
	}
	return nil
}

// awaitExclusive waits until an exclusive queue is there, on a connection that
// lives.
func (b *Broker) awaitExclusive(ctx context.Context, q messaging.QueueSpec) error {
	for attempt := 0; ; attempt++ {
		err := b.ask(ctx, func(g *generation) error { return b.restore(g, q) })
		if code(err) != amqp.ResourceLocked || !pause(ctx, backoff(attempt, reconnectFirst, reconnectMost)) {
			return err
		}
	}
}

// restoreWait is how long publishing waits for exclusive queues to be back.
const restoreWait = 5 * time.Second

// awaitExclusives is asked before a new connection publishes: it waits until
// the exclusive queues are back on theirs, because they are where replies to
// what is published come. An answer on that connection shows that it lives.
func (b *Broker) awaitExclusives(*generation) error {
	ctx, cancel := context.WithTimeout(b.intake, restoreWait)
	defer cancel()
	for _, q := range b.exclusiveSpecs() {
		err := b.awaitExclusive(ctx, q)
		if err == nil {
			err = b.ask(ctx, func(g *generation) error { _, err := look(g, q.Name); return err })
		}
		if err != nil {
			b.cfg.log.Warn("publishing goes on without an exclusive queue", "queue", q.Name, "error", err)
		}
	}
	return nil
}

// awaitReplies waits for the queues where replies to msgs come, as far as they
// are exclusive ones of this Broker.
func (b *Broker) awaitReplies(ctx context.Context, msgs []*messaging.Message) error {
	for _, m := range msgs {
		on := b.exclusiveOn(m.ReplyTo)
		if on == nil || !on.conn.IsClosed() {
			continue
		}
		if err := b.awaitExclusive(ctx, b.specOf(m.ReplyTo)); err != nil {
			return err
		}
	}
	return nil
}
