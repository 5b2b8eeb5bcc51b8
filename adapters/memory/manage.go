package memory

import (
	"context"
	"fmt"
	"strings"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Declare creates a queue, or verifies it, see [messaging.Manager]. While
// disconnected it waits, as all methods here do: until ctx ends, or for the
// publish timeout where ctx has no deadline.
func (b *Broker) Declare(ctx context.Context, spec messaging.QueueSpec) error {
	if err := spec.Validate(); err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	if err := b.declareChecked(ctx, normal(spec)); err != nil {
		return fmt.Errorf("declare %s: %w", messaging.Queue(spec.Name), err)
	}
	return nil
}

func (b *Broker) declareChecked(ctx context.Context, spec messaging.QueueSpec) error {
	return b.change(ctx, func() error {
		if d := differences(b.declare(spec).spec, spec); d != "" {
			return fmt.Errorf("%w: %s", messaging.ErrMismatch, d)
		}
		return nil
	})
}

// change calls f with b.mu held.
func (b *Broker) change(ctx context.Context, f func() error) error {
	if err := b.enter(ctx, managing); err != nil {
		return err
	}
	b.mu.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return messaging.ErrClosed
	}
	return f()
}

// normal makes specs equal that mean the same.
func normal(s messaging.QueueSpec) messaging.QueueSpec {
	s.TTL = roundUp(s.TTL)
	return s
}

// differences says which properties of a queue are not as wanted, "" for none.
func differences(is, want messaging.QueueSpec) string {
	var all []string
	for _, p := range [...]struct {
		name     string
		is, want any
	}{
		{"Transient", is.Transient, want.Transient},
		{"Exclusive", is.Exclusive, want.Exclusive},
		{"AutoDelete", is.AutoDelete, want.AutoDelete},
		{"MaxLength", is.MaxLength, want.MaxLength},
		{"Overflow", is.Overflow, want.Overflow},
		{"TTL", is.TTL, want.TTL},
		{"SingleActive", is.SingleActive, want.SingleActive},
	} {
		if p.is != p.want {
			all = append(all, fmt.Sprintf("%s is %v, not %v", p.name, p.is, p.want))
		}
	}
	return strings.Join(all, ", ")
}

// Inspect counts the messages of a queue. Those that wait for a delay or a
// retry are neither ready nor unsettled.
func (b *Broker) Inspect(ctx context.Context, a messaging.Address) (messaging.QueueInfo, error) {
	info := messaging.QueueInfo{Address: a}
	err := b.withQueue(ctx, "inspect", a, func(q *queue) {
		info.Ready, info.Unsettled, info.Consumers = q.ready(), q.unsettled(), len(q.consumers)
	})
	return info, err
}

// Purge drops the messages that are ready in a queue, and returns how many
// there were.
func (b *Broker) Purge(ctx context.Context, a messaging.Address) (int, error) {
	n := 0
	err := b.withQueue(ctx, "purge", a, func(q *queue) { n = q.purge() })
	return n, err
}

// withQueue calls f with the queue a, locked.
func (b *Broker) withQueue(ctx context.Context, verb string, a messaging.Address, f func(*queue)) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if a.IsTopic() {
		return fmt.Errorf("%s %s: a topic holds no messages; name the queue of a group, %s.GROUP",
			verb, a, messaging.Queue(a.Name()))
	}
	if err := b.with(ctx, a, f); err != nil {
		return fmt.Errorf("%s %s: %w", verb, a, err)
	}
	return nil
}

// with calls f with the queue a, locked.
func (b *Broker) with(ctx context.Context, a messaging.Address, f func(*queue)) error {
	if err := b.enter(ctx, managing); err != nil {
		return err
	}
	defer b.mu.RUnlock()
	q := b.queues[a.Name()]
	if q == nil {
		return messaging.ErrNotFound
	}
	q.mu.Lock()
	defer q.unlock()
	q.learnAll()
	f(q)
	return nil
}

// Delete removes a queue with all of its messages, those included that wait or
// are being handled: what their handlers decide has no effect any more. Its
// subscriptions declare it again, with the same properties.
//
// Of a topic, what binds the groups goes, and the delayed messages. Their queues
// stay, with what is in them. Subscriptions to the topic get nothing any more
// until they are begun anew, or their group is bound.
func (b *Broker) Delete(ctx context.Context, a messaging.Address) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	err := b.change(ctx, func() error {
		if q := b.queues[a.Name()]; q != nil && a.IsQueue() {
			b.remove(q)
		}
		if t := b.topics[a.Name()]; t != nil && a.IsTopic() {
			b.removeTopic(t)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", a, err)
	}
	return nil
}
