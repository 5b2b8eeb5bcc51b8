package natsjetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/warrenmq/warren/pkg/messaging"
)

// metadataSpec is where a stream says what it was declared as.
const metadataSpec = "warren-spec"

// Declare creates a queue's stream, or verifies it, see [messaging.Manager].
func (b *Broker) Declare(ctx context.Context, q messaging.QueueSpec) error {
	if err := q.Validate(); err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	q.TTL = (q.TTL + time.Millisecond - 1).Truncate(time.Millisecond)
	return b.do(ctx, "declare "+q.Name, func(ctx context.Context) error {
		is, err := b.spec(ctx, q.Name)
		if errors.Is(err, messaging.ErrNotFound) {
			if err = b.create(ctx, q); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // by now
				is, err = b.spec(ctx, q.Name)
			} else {
				is = q
			}
		}
		if err != nil {
			return err
		}
		if d := differences(is, q); d != "" {
			return fmt.Errorf("%w: %s", messaging.ErrMismatch, d)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.declared[q.Name] = q
		return nil
	})
}

// spec is what a queue was declared as.
func (b *Broker) spec(ctx context.Context, queue string) (messaging.QueueSpec, error) {
	spec := messaging.QueueSpec{Name: queue}
	p, err := b.find(ctx, queue)
	if err != nil || p.stream == topicsStream {
		return spec, err
	}
	s, err := b.js.Stream(ctx, p.stream)
	if err != nil {
		return spec, err
	}
	return spec, json.Unmarshal([]byte(s.CachedInfo().Config.Metadata[metadataSpec]), &spec)
}

// create declares a stream with a consumer for one queue.
func (b *Broker) create(ctx context.Context, q messaging.QueueSpec) error {
	switch {
	case q.Exclusive, q.AutoDelete, q.SingleActive:
		return fmt.Errorf("Exclusive, AutoDelete and SingleActive are nothing that a stream can be: %w", errors.ErrUnsupported)
	case q.TTL > 0 && q.TTL < 100*time.Millisecond:
		return fmt.Errorf("the TTL is %s, and JetStream takes none below 100ms: %w", q.TTL, errors.ErrUnsupported)
	}
	spec, err := json.Marshal(q)
	if err != nil {
		return err
	}
	p := queuePlace(q.Name)
	cfg := jetstream.StreamConfig{
		Name:        p.stream,
		Description: "warren queue " + q.Name,
		Subjects:    []string{p.subject},
		Retention:   jetstream.WorkQueuePolicy,
		MaxAge:      q.TTL,
		Metadata:    map[string]string{metadataSpec: string(spec)},
	}
	if q.MaxLength > 0 {
		cfg.MaxMsgs = int64(q.MaxLength)
		if q.Overflow == messaging.RejectPublish {
			cfg.Discard = jetstream.DiscardNew
		}
	}
	if q.TTL > 0 {
		cfg.Duplicates = min(2*time.Minute, q.TTL) // no longer than MaxAge
	}
	if q.Transient {
		cfg.Storage = jetstream.MemoryStorage
	}
	if _, err := b.js.CreateStream(ctx, cfg); err != nil {
		return err
	}
	_, err = b.js.CreateConsumer(ctx, p.stream, b.config(p))
	return err
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

// find looks for a queue: one of its own, or that of a topic's group.
func (b *Broker) find(ctx context.Context, queue string) (place, error) {
	p := queuePlace(queue)
	_, err := b.js.Stream(ctx, p.stream)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return p, err
	}
	p = groupPlace(queue)
	_, err = b.js.Consumer(ctx, p.stream, p.consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		err = messaging.ErrNotFound
	}
	return p, err
}

// ensure finds a queue, or declares it as this Broker has before.
func (b *Broker) ensure(ctx context.Context, queue string) (place, error) {
	p, err := b.find(ctx, queue)
	if err == nil && p.stream != topicsStream {
		_, err = b.js.CreateOrUpdateConsumer(ctx, p.stream, b.config(p)) // which an operator may have deleted
	}
	if !errors.Is(err, messaging.ErrNotFound) {
		return p, err
	}
	b.mu.Lock()
	spec, known := b.declared[queue]
	b.mu.Unlock()
	if !known {
		spec = messaging.QueueSpec{Name: queue}
	}
	if err = b.create(ctx, spec); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody else was faster
		err = nil
	}
	return queuePlace(queue), err
}

// config is the consumer that all subscribers of a queue share.
func (b *Broker) config(p place) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       p.consumer,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       b.ackWait,
		MaxAckPending: -1, // each subscriber has a limit of its own, its Prefetch
	}
}

// Bind creates a topic's group, see [messaging.Manager]. One that exists gets
// the keys of this call instead of those that it had.
func (b *Broker) Bind(ctx context.Context, from messaging.Source) error {
	if err := messaging.CheckBind(from); err != nil {
		return err
	}
	doing := fmt.Sprintf("bind group %s to %s", from.Group, from.Address)
	keys, err := filters(from.Address.Name(), from.Keys)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return b.do(ctx, doing, func(ctx context.Context) error { return b.bind(ctx, placeOf(from), keys, false) })
}

// privateLife is how long a private subscription outlives its connection.
const privateLife = time.Minute

// bind declares the consumer of a topic's group, or of a private subscription.
// It gets what is published from now on.
func (b *Broker) bind(ctx context.Context, p place, keys []string, private bool) error {
	cfg := b.config(p)
	cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	cfg.FilterSubjects = slices.Concat(keys, []string{p.subject})
	if private {
		cfg.Name, cfg.Durable, cfg.InactiveThreshold = p.consumer, "", privateLife
	} else if err := b.noQueue(ctx, p); err != nil {
		return err
	}
	_, err := b.js.CreateOrUpdateConsumer(ctx, p.stream, cfg)
	return err
}

// noQueue refuses a group whose queue has a stream of its own, which is the one
// that everybody would find.
func (b *Broker) noQueue(ctx context.Context, group place) error {
	switch _, err := b.js.Stream(ctx, queueStream+group.consumer); {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: there is a queue of that name, which is no group's", messaging.ErrMismatch)
}

// Inspect counts what is in a queue. What was handed back and has not been taken
// again counts as unsettled: to JetStream it is still on its way. How many
// subscriptions there are it does not tell.
func (b *Broker) Inspect(ctx context.Context, q messaging.Address) (messaging.QueueInfo, error) {
	info := messaging.QueueInfo{Address: q, Consumers: messaging.Unknown}
	return info, b.withQueue(ctx, "inspect", q, func(ctx context.Context, p place) error {
		c, err := b.js.Consumer(ctx, p.stream, p.consumer)
		if err == nil {
			info.Ready, info.Unsettled = int(c.CachedInfo().NumPending), c.CachedInfo().NumAckPending
		}
		return err
	})
}

// Purge takes the messages that are ready one by one, because a purge of the
// stream would drop those too that are being handled. What comes after the call
// stays.
func (b *Broker) Purge(ctx context.Context, q messaging.Address) (n int, err error) {
	err = b.withQueue(ctx, "purge", q, func(ctx context.Context, p place) error {
		s, err := b.js.Stream(ctx, p.stream)
		if err != nil {
			return err
		}
		last := s.CachedInfo().State.LastSeq
		for {
			more, err := b.purgeOne(ctx, p, last)
			if err != nil || !more {
				return err
			}
			n++
		}
	})
	return n, err
}

// purgeOne says no where the next message came after the last to be purged.
func (b *Broker) purgeOne(ctx context.Context, p place, last uint64) (more bool, err error) {
	m, err := b.fetch(ctx, p)
	if errors.Is(err, messaging.ErrEmpty) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream > last {
		return false, errors.Join(err, m.Nak())
	}
	return true, m.AckSync(nats.Context(ctx))
}

func (b *Broker) withQueue(ctx context.Context, verb string, q messaging.Address, f func(context.Context, place) error) error {
	if err := q.Validate(); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if q.IsTopic() {
		return fmt.Errorf("%s %s: a topic holds no messages; name the queue of a group, %s.GROUP", verb, q, messaging.Queue(q.Name()))
	}
	return b.do(ctx, verb+" "+q.String(), func(ctx context.Context) error {
		p, err := b.find(ctx, q.Name())
		if err != nil {
			return err
		}
		return f(ctx, p)
	})
}

// Delete removes a queue's stream, or a group's consumer. Of a topic, all of its
// groups go, with what is in them: without the topic they are nothing.
func (b *Broker) Delete(ctx context.Context, a messaging.Address) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return b.do(ctx, "delete "+a.String(), func(ctx context.Context) error {
		if a.IsTopic() {
			return b.deleteTopic(ctx, a.Name())
		}
		err := b.js.DeleteStream(ctx, queuePlace(a.Name()).stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			p := groupPlace(a.Name())
			err = b.js.DeleteConsumer(ctx, p.stream, p.consumer)
		}
		return unlessGone(err)
	})
}

// deleteTopic finds the topic's groups by their filters.
func (b *Broker) deleteTopic(ctx context.Context, topic string) error {
	s, err := b.js.Stream(ctx, topicsStream)
	if err != nil {
		return unlessGone(err)
	}
	prefix := strings.TrimSuffix(topicSubject(topic, ""), endOfKey)
	consumers := s.ListConsumers(ctx)
	for c := range consumers.Info() {
		for _, f := range c.Config.FilterSubjects {
			if strings.HasPrefix(f, prefix) {
				if err := unlessGone(s.DeleteConsumer(ctx, c.Name)); err != nil {
					return err
				}
				break
			}
		}
	}
	return consumers.Err()
}

// unlessGone is nil for what does not exist.
func unlessGone(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}
