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

// exclusive is a queue that belongs to the Broker. It goes with the connection
// and is declared again on the next.
type exclusive struct {
	spec    messaging.QueueSpec
	on      *generation // where it has been declared
	readers int         // subscriptions of this Broker; nobody else can have any
}

// own notes an exclusive queue that has been declared on g.
func (b *Broker) own(g *generation, q messaging.QueueSpec) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.exclusives[q.Name]
	if e == nil {
		e = &exclusive{}
		b.exclusives[q.Name] = e
	}
	e.spec, e.on = q, g
}

func (b *Broker) disown(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.exclusives, name)
}

// specOf is what a queue is declared with where it is missing.
func (b *Broker) specOf(name string) messaging.QueueSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.exclusives[name]; e != nil {
		return e.spec
	}
	return messaging.QueueSpec{Name: name}
}

// read notes a subscription to a queue, until the function that it returns is
// called. When the last one ends, the broker deletes a queue with AutoDelete,
// and so it is not to be declared again.
func (b *Broker) read(name string) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.exclusives[name]
	if e == nil {
		return func() {}
	}
	e.readers++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if e.readers--; e.readers == 0 && e.spec.AutoDelete && b.exclusives[name] == e {
			delete(b.exclusives, name)
		}
	}
}

func (b *Broker) exclusiveSpecs() []messaging.QueueSpec {
	b.mu.Lock()
	defer b.mu.Unlock()
	specs := make([]messaging.QueueSpec, 0, len(b.exclusives))
	for _, name := range slices.Sorted(maps.Keys(b.exclusives)) {
		specs = append(specs, b.exclusives[name].spec)
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
	if e := b.exclusives[q.Name]; e != nil {
		e.on = g
	}
	return nil
}

// exclusiveOn is the connection on which an exclusive queue was declared last,
// nil where it is none.
func (b *Broker) exclusiveOn(name string) *generation {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.exclusives[name]; e != nil {
		return e.on
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
