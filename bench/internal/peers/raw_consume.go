package peers

import (
	"context"
	"errors"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ackAfter is how long an acknowledgement of many waits for more of them.
const ackAfter = 5 * time.Millisecond

// RawConsumer is amqp091-go as an expert writes it: on each of its channels one
// goroutine handles a message after the other, and acknowledges ackEvery of
// them at once, or what there is after five milliseconds.
func RawConsumer(channels, prefetch, ackEvery int) Consume {
	return func(ctx context.Context, url, queue string, handle func(body []byte)) error {
		conn, err := amqp.Dial(url)
		if err != nil {
			return err
		}
		err = share(channels, channels, func(g, _ int) error {
			ch, err := conn.Channel()
			if err != nil {
				return err
			}
			if err := ch.Qos(prefetch, 0, false); err != nil {
				return err
			}
			return rawConsume(ctx, ch, queue, strconv.Itoa(g), ackEvery, handle)
		})
		return errors.Join(err, conn.Close())
	}
}

func rawConsume(ctx context.Context, ch *amqp.Channel, queue, tag string, ackEvery int, handle func(body []byte)) error {
	deliveries, err := ch.Consume(queue, tag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	if ackEvery == 1 {
		return ackEach(ctx, ch, tag, deliveries, handle)
	}
	return ackMultiple(ctx, ch, tag, deliveries, ackEvery, handle)
}

func ackEach(ctx context.Context, ch *amqp.Channel, tag string, deliveries <-chan amqp.Delivery, handle func(body []byte)) error {
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return errors.New("the broker ended the consumer")
			}
			handle(d.Body)
			if err := d.Ack(false); err != nil {
				return err
			}
		case <-ctx.Done():
			return ch.Cancel(tag, false)
		}
	}
}

func ackMultiple(ctx context.Context, ch *amqp.Channel, tag string, deliveries <-chan amqp.Delivery, every int, handle func(body []byte)) error {
	tick := time.NewTicker(ackAfter)
	defer tick.Stop()
	var last uint64 // handled
	open := 0       // handled, not acknowledged
	flush := func() error {
		if open == 0 {
			return nil
		}
		open = 0
		return ch.Ack(last, true)
	}
	for {
		var err error
		select {
		case d, ok := <-deliveries:
			if !ok {
				return errors.New("the broker ended the consumer")
			}
			handle(d.Body)
			last = d.DeliveryTag
			if open++; open == every {
				err = flush()
			}
		case <-tick.C:
			err = flush()
		case <-ctx.Done():
			return errors.Join(flush(), ch.Cancel(tag, false))
		}
		if err != nil {
			return err
		}
	}
}
