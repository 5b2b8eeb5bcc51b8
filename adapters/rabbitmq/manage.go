package rabbitmq

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Declare implements [messaging.Manager]. A durable queue is a quorum queue
// unless the URL says queue_type=classic. An exclusive queue belongs to this
// Broker: it is declared again, empty, when the connection was lost. The
// properties of the last 10,000 queues are remembered until they are deleted by
// this Broker: one that is lost under a subscription comes back like that.
func (b *Broker) Declare(ctx context.Context, q messaging.QueueSpec) error {
	if err := q.Validate(); err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	doing := "declare " + messaging.Queue(q.Name).String()
	return b.manage(ctx, doing, func(g *generation) error {
		err := b.declare(g, q)
		if err == nil {
			b.remember(g, q)
		}
		return err
	})
}

// Inspect implements [messaging.Manager]. RabbitMQ does not tell over AMQP how
// many messages are unsettled: QueueInfo.Unsettled is [messaging.Unknown].
func (b *Broker) Inspect(ctx context.Context, q messaging.Address) (messaging.QueueInfo, error) {
	info := messaging.QueueInfo{Address: q, Unsettled: messaging.Unknown}
	err := b.manageQueue(ctx, "inspect", q, func(g *generation) error {
		found, err := look(g, q.Name())
		info.Ready, info.Consumers = found.Messages, found.Consumers
		return err
	})
	return info, err
}

// Purge implements [messaging.Manager].
func (b *Broker) Purge(ctx context.Context, q messaging.Address) (int, error) {
	var purged int
	err := b.manageQueue(ctx, "purge", q, func(g *generation) error {
		return g.do(func(ch *amqp.Channel) (err error) {
			purged, err = ch.QueuePurge(q.Name(), false)
			return err
		})
	})
	return purged, err
}

// Delete implements [messaging.Manager]. Of a topic, it deletes the exchange,
// and with it what binds the groups. Their queues stay, with what is in them:
// they are deleted by name, Queue("t.g") for group g of topic t. Subscriptions
// to the topic get nothing any more until they are begun anew.
func (b *Broker) Delete(ctx context.Context, a messaging.Address) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	err := b.manage(ctx, "delete "+a.String(), func(g *generation) error {
		return g.do(func(ch *amqp.Channel) error {
			if a.IsTopic() {
				return ch.ExchangeDelete(a.Name(), false, false)
			}
			_, err := ch.QueueDelete(a.Name(), false, false, false)
			return err
		})
	})
	if errors.Is(err, messaging.ErrNotFound) {
		err = nil
	}
	switch {
	case err != nil:
	case a.IsTopic():
		b.publisher.topics.Delete(a.Name())
	default:
		b.forget(a.Name())
	}
	return err
}

func (b *Broker) manageQueue(ctx context.Context, verb string, q messaging.Address, f func(*generation) error) error {
	if err := q.Validate(); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	doing := verb + " " + q.String()
	if q.IsTopic() {
		return fmt.Errorf("%s: a topic holds no messages; name the queue of a group, %s.GROUP", doing, messaging.Queue(q.Name()))
	}
	return b.manage(ctx, doing, f)
}

// manage asks the broker for something and says what it was in the error.
func (b *Broker) manage(ctx context.Context, doing string, f func(*generation) error) error {
	if err := b.enter(doing); err != nil {
		return err
	}
	defer b.calls.Done()
	if err := b.ask(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", doing, mismatch(err))
	}
	return nil
}
