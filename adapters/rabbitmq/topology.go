package rabbitmq

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// queueConfig is a queue as watermill-amqp's Config, from which its
// TopologyBuilder declares it. major is the broker's version.
//
// A durable queue has the type that the URL asks for, quorum by default. One
// that is transient, exclusive or deleted by itself is classic: quorum queues
// cannot be any of that.
func queueConfig(q messaging.QueueSpec, queueType string, major int) wamqp.Config {
	c := wamqp.NewDurableQueueConfig("")
	c.Queue.Durable = !q.Transient && !q.Exclusive
	c.Queue.Exclusive = q.Exclusive
	c.Queue.AutoDelete = q.AutoDelete
	args := amqp.Table{}
	if !c.Queue.Durable || q.AutoDelete {
		queueType = queueTypeClassic
	}
	args[amqp.QueueTypeArg] = queueType
	if queueType == queueTypeQuorum {
		unlimitedDeliveries(args, major)
	}
	if q.MaxLength > 0 {
		args[amqp.QueueMaxLenArg] = int64(q.MaxLength)
		args[amqp.QueueOverflowArg] = q.Overflow.String()
	}
	if q.TTL > 0 {
		args[amqp.QueueMessageTTLArg] = ceilMS(q.TTL)
	}
	if q.SingleActive {
		args[amqp.SingleActiveConsumerArg] = true
	}
	c.Queue.Arguments = args
	return c
}

// unlimitedDeliveries takes off the limit of 20 deliveries that quorum queues
// have since RabbitMQ 4.0: over it, a message without a dead-letter exchange
// is dropped, and until 4.3 even a release counts.
func unlimitedDeliveries(args amqp.Table, major int) {
	if major >= 4 {
		args["x-delivery-limit"] = int64(-1)
	}
}

// declare creates a queue or verifies that it is like q.
func (b *Broker) declare(g *generation, q messaging.QueueSpec) error {
	conf := queueConfig(q, b.cfg.queueType, g.major)
	err := g.do(func(ch *amqp.Channel) error {
		return b.cfg.topology.BuildTopology(ch, conf.Queue.GenerateName(q.Name), conf.Exchange.GenerateName(q.Name),
			conf, watermill.NewSlogLogger(b.cfg.log.With("queue", q.Name)))
	})
	if code(err) == amqp.InternalError && q.Transient && !q.Exclusive {
		return fmt.Errorf("RabbitMQ 4.3 and later refuse transient queues that are not exclusive: %w", err)
	}
	return err
}

// ensure makes sure that a queue exists. One that does is used as it is.
func (b *Broker) ensure(g *generation, q messaging.QueueSpec) error {
	if q.Exclusive { // nobody else can have declared it
		return b.declare(g, q)
	}
	_, err := look(g, q.Name)
	if code(err) != amqp.NotFound {
		return err
	}
	return b.declare(g, q)
}

// look asks for a queue without declaring it.
func look(g *generation, name string) (amqp.Queue, error) {
	var q amqp.Queue
	err := g.do(func(ch *amqp.Channel) (err error) {
		q, err = ch.QueueDeclarePassive(name, false, false, false, false, nil)
		return err
	})
	return q, err
}
