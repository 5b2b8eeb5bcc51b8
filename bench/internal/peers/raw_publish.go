package peers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/bench/internal/measure"
)

// rawPublisher is amqp091-go as an expert writes it: channels that are opened
// once, in confirm mode, with deferred confirmations. Where it is not plain,
// its messages are mandatory and have an ID, so that one for which there is no
// queue comes back and is known: otherwise the broker confirms it like any other.
type rawPublisher struct {
	conn     *amqp.Connection
	channels []*rawChannel
	queue    string
	plain    bool
	message  amqp.Publishing
	ids      atomic.Uint64
	publish  func(ctx context.Context, r *rawPublisher, n int) error
}

// rawChannel is a channel and what came back on it.
type rawChannel struct {
	*amqp.Channel
	returns <-chan amqp.Return
}

// maxReturns is more than are ever on their way on a channel.
const maxReturns = 1024

func openRaw(channels int, publish func(ctx context.Context, r *rawPublisher, n int) error) OpenPublisher {
	return func(_ context.Context, url, queue string, body []byte) (Publisher, error) {
		conn, err := amqp.Dial(url)
		if err != nil {
			return nil, err
		}
		r := &rawPublisher{
			conn: conn, queue: queue, publish: publish,
			message: amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body},
		}
		for range channels {
			ch, err := conn.Channel()
			if err == nil {
				err = ch.Confirm(false)
			}
			if err != nil {
				conn.Close()
				return nil, err
			}
			r.channels = append(r.channels, &rawChannel{ch, ch.NotifyReturn(make(chan amqp.Return, maxReturns))})
		}
		return r, nil
	}
}

// Plain is a raw publisher that takes a confirmation for enough.
func Plain(raw OpenPublisher) OpenPublisher {
	return func(ctx context.Context, url, queue string, body []byte) (Publisher, error) {
		p, err := raw(ctx, url, queue, body)
		if err != nil {
			return nil, err
		}
		p.(*rawPublisher).plain = true
		return p, nil
	}
}

// SameMessage is a raw publisher of what warren sends: with the time, and the
// header for Watermill. What remains between the two is what the code costs.
func SameMessage(raw OpenPublisher) OpenPublisher {
	return func(ctx context.Context, url, queue string, body []byte) (Publisher, error) {
		p, err := raw(ctx, url, queue, body)
		if err != nil {
			return nil, err
		}
		sent, err := warrenPublishing(body)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.(*rawPublisher).message = sent
		return p, nil
	}
}

// warrenPublishing is what the adapter sends.
func warrenPublishing(body []byte) (amqp.Publishing, error) {
	m := message.NewMessage(messageID, body)
	m.Metadata.Set(rabbitmq.MetadataTime, messageTime)
	return rabbitmq.Marshaler{}.Marshal(m)
}

// RawBatches publishes batches: all of a batch without waiting, then all its
// confirms.
func RawBatches(size int) OpenPublisher {
	return openRaw(1, func(ctx context.Context, r *rawPublisher, n int) error {
		confirms := make([]*amqp.DeferredConfirmation, 0, size)
		for n > 0 {
			confirms = confirms[:0]
			for range min(n, size) {
				c, err := r.send(ctx, r.channels[0])
				if err != nil {
					return err
				}
				confirms = append(confirms, c)
			}
			if err := r.channels[0].confirmed(ctx, confirms...); err != nil {
				return err
			}
			n -= len(confirms)
		}
		return nil
	})
}

// RawWindow keeps up to size messages unconfirmed, and never waits for a batch
// to end. No caller learns when its own messages are stored.
func RawWindow(size int) OpenPublisher {
	return openRaw(1, func(ctx context.Context, r *rawPublisher, n int) error {
		window := make([]*amqp.DeferredConfirmation, 0, n)
		for i := range n {
			if i >= size {
				if err := r.channels[0].confirmed(ctx, window[i-size]); err != nil {
					return err
				}
			}
			c, err := r.send(ctx, r.channels[0])
			if err != nil {
				return err
			}
			window = append(window, c)
		}
		return r.channels[0].confirmed(ctx, window...)
	})
}

// RawEach publishes from goroutines, one message at a time, each on one of the
// channels. The calls are recorded where calls is not nil.
func RawEach(goroutines, channels int, calls *measure.Calls) OpenPublisher {
	return openRaw(channels, func(ctx context.Context, r *rawPublisher, n int) error {
		return share(goroutines, n, func(g, n int) error {
			ch := r.channels[g%channels]
			for range n {
				start := time.Now()
				c, err := r.send(ctx, ch)
				if err == nil {
					err = ch.confirmed(ctx, c)
				}
				if err != nil {
					return err
				}
				calls.Record(time.Since(start))
			}
			return nil
		})
	})
}

func (r *rawPublisher) send(ctx context.Context, ch *rawChannel) (*amqp.DeferredConfirmation, error) {
	return r.sendMessage(ctx, ch, r.message)
}

func (r *rawPublisher) sendMessage(ctx context.Context, ch *rawChannel, m amqp.Publishing) (*amqp.DeferredConfirmation, error) {
	if !r.plain && m.MessageId == "" {
		m.MessageId = strconv.FormatUint(r.ids.Add(1), 10)
	}
	return ch.PublishWithDeferredConfirmWithContext(ctx, "", r.queue, !r.plain, false, m)
}

// confirmed waits for confirmations, and fails where a message came back. The
// broker sends that before it confirms.
func (ch *rawChannel) confirmed(ctx context.Context, confirms ...*amqp.DeferredConfirmation) error {
	if err := awaitAll(ctx, confirms); err != nil {
		return err
	}
	select {
	case back := <-ch.returns:
		return fmt.Errorf("message %s came back: %s", back.MessageId, back.ReplyText)
	default:
		return nil
	}
}

func (r *rawPublisher) Publish(ctx context.Context, n int) error { return r.publish(ctx, r, n) }

func (r *rawPublisher) Close() error { return r.conn.Close() }

// RawSender sends for [RabbitMQ.Paced], each sender on a channel of its own.
func RawSender(ctx context.Context, url, queue string) (Sender, error) {
	p, err := RawEach(Senders, Senders, nil)(ctx, url, queue, nil)
	if err != nil {
		return nil, err
	}
	return p.(*rawPublisher), nil
}

func (r *rawPublisher) Send(ctx context.Context, sender int, body []byte) error {
	m := r.message
	m.Body = body
	c, err := r.sendMessage(ctx, r.channels[sender], m)
	if err != nil {
		return err
	}
	return r.channels[sender].confirmed(ctx, c)
}
