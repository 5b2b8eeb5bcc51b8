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
	err := spec.Validate()
	if err == nil {
		err = b.declareChecked(ctx, normal(spec))
	}
	if err != nil {
		return fmt.Errorf("declare queue %s: %w", spec.Name, err)
	}
	return nil
}

func (b *Broker) declareChecked(ctx context.Context, spec messaging.QueueSpec) error {
	if err := b.enter(ctx, managing); err != nil {
		return err
	}
	b.mu.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return messaging.ErrClosed
	}
	if d := differences(b.declare(spec).spec, spec); d != "" {
		return fmt.Errorf("%s: %w", d, messaging.ErrMismatch)
	}
	return nil
}

// normal makes specs equal that mean the same.
func normal(s messaging.QueueSpec) messaging.QueueSpec {
	s.TTL = roundUp(s.TTL)
	if s.MaxLength == 0 {
		s.Overflow = messaging.RejectPublish
	}
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

// Bind is for topics, which come with a later version: it returns an error
// that wraps [errors.ErrUnsupported].
func (b *Broker) Bind(_ context.Context, from messaging.Source) error {
	if err := from.Validate(); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return noTopics("bind", from.Address)
}

// Inspect counts the messages of a queue. Those that wait for a delay or a
// retry are neither ready nor unsettled.
func (b *Broker) Inspect(ctx context.Context, a messaging.Address) (messaging.QueueInfo, error) {
	info := messaging.QueueInfo{Address: a}
	err := b.with(ctx, "inspect", a, func(q *queue) {
		info.Ready, info.Unsettled, info.Consumers = q.ready(), q.unsettled(), len(q.consumers)
	})
	return info, err
}

// Purge drops the messages that are ready in a queue, and returns how many
// there were.
func (b *Broker) Purge(ctx context.Context, a messaging.Address) (int, error) {
	n := 0
	err := b.with(ctx, "purge", a, func(q *queue) { n = q.purge() })
	return n, err
}

// with calls f with a queue, locked.
func (b *Broker) with(ctx context.Context, doing string, a messaging.Address, f func(*queue)) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if a.IsTopic() {
		return noTopics(doing, a)
	}
	if err := b.enter(ctx, managing); err != nil {
		return fmt.Errorf("%s %s: %w", doing, a, err)
	}
	defer b.mu.RUnlock()
	q := b.queues[a.Name()]
	if q == nil {
		return fmt.Errorf("%s %s: %w", doing, a, messaging.ErrNotFound)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.collectAll()
	f(q)
	return nil
}

// Delete removes a queue with all of its messages, those included that wait or
// are being handled: what their handlers decide has no effect any more. Its
// subscriptions declare it again, with the same properties.
func (b *Broker) Delete(ctx context.Context, a messaging.Address) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := b.enter(ctx, managing); err != nil {
		return fmt.Errorf("delete %s: %w", a, err)
	}
	b.mu.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.queues[a.Name()]; q != nil && a.IsQueue() {
		b.remove(q)
	}
	return nil
}
