package peers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// BodySize is the size of a message's body in bytes, where a row does not say
// another.
const BodySize = 256

// Prefetch is what every consumer is allowed to hold.
const Prefetch = 100

// RabbitMQ is the broker under load, and a connection that prepares each
// round and counts afterwards.
type RabbitMQ struct {
	URL string
	// QueueType is "classic" or "quorum".
	QueueType string
	meter     *measure.Meter
	conn      *amqp.Connection
	ch        *amqp.Channel
}

// ConnectRabbitMQ connects to the broker at url, which the meter watches.
func ConnectRabbitMQ(url string, meter *measure.Meter) (*RabbitMQ, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, fmt.Errorf("connect to prepare rounds: %w", err)
	}
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open a channel to prepare rounds: %w", err)
	}
	return &RabbitMQ{URL: url, QueueType: "classic", meter: meter, conn: conn, ch: ch}, nil
}

// Version is the broker's.
func (r *RabbitMQ) Version() string {
	version, _ := r.conn.Properties["version"].(string)
	return version
}

// Quorum is the same broker with quorum queues.
func (r *RabbitMQ) Quorum() *RabbitMQ {
	if r == nil {
		return nil
	}
	quorum := *r
	quorum.QueueType = "quorum"
	return &quorum
}

// Close ends the connection.
func (r *RabbitMQ) Close() error { return r.conn.Close() }

// withQueue gives f a fresh durable queue, and when f is done asks
// whether the number of messages in it is right.
func (r *RabbitMQ) withQueue(right func(found int) bool, f func(queue string) error) error {
	queue := "bench-" + strings.ToLower(rand.Text()[:12])
	if _, err := r.ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": r.QueueType}); err != nil {
		return fmt.Errorf("declare a queue: %w", err)
	}
	err := f(queue)
	found, deleteErr := r.ch.QueueDelete(queue, false, false, false)
	_, deadErr := r.ch.QueueDelete(queue+".dead", false, false, false) // warren's, where it is
	if err := errors.Join(err, deleteErr, deadErr); err != nil {
		return err
	}
	if !right(found) {
		return fmt.Errorf("the queue has %d messages in the end: some were lost or came twice", found)
	}
	return nil
}

var classic = amqp.Table{"x-queue-type": "classic"}

const (
	messageID   = "0191b3c4-5d6e-7f80-9a0b-1c2d3e4f5061"
	messageTime = "1725297876334" // which the ID has, in milliseconds since 1970
)

// fill puts n persistent messages into the queue. They have what all peers
// understand: the ID as a property and in Watermill's header.
func (r *RabbitMQ) fill(ctx context.Context, queue string, n int, body []byte) (err error) {
	pprof.Do(ctx, pprof.Labels("phase", "prepare"), func(ctx context.Context) { err = r.publishAll(ctx, queue, n, body) })
	return err
}

func (r *RabbitMQ) publishAll(ctx context.Context, queue string, n int, body []byte) error {
	m := amqp.Publishing{
		MessageId:    messageID,
		DeliveryMode: amqp.Persistent,
		Headers:      amqp.Table{wamqp.DefaultMessageUUIDHeaderKey: messageID},
		Body:         body,
	}
	const window = 2000
	var confirms []*amqp.DeferredConfirmation
	for i := range n {
		c, err := r.ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, m)
		if err != nil {
			return fmt.Errorf("fill the queue: %w", err)
		}
		if confirms = append(confirms, c); len(confirms) == window || i == n-1 {
			if err := awaitAll(ctx, confirms); err != nil {
				return fmt.Errorf("fill the queue: %w", err)
			}
			confirms = confirms[:0]
		}
	}
	return nil
}

// awaitAll waits until the broker has confirmed all of them.
func awaitAll(ctx context.Context, confirms []*amqp.DeferredConfirmation) error {
	for _, c := range confirms {
		if err := await(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func await(ctx context.Context, c *amqp.DeferredConfirmation) error {
	ok, err := c.WaitContext(ctx)
	if err == nil && !ok {
		err = errors.New("the broker refused a message")
	}
	return err
}
