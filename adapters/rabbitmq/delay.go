package rabbitmq

import (
	"context"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Delays, without a plugin. A message's delay is a binary number of units of
// 100 ms. For each of its bits there is a level: an exchange, and a queue where
// messages wait for that bit's time. A message enters at its highest bit.
//
//	warren.delay.5 --(header warren-delay-5)--> queue warren.delay.5, 3.2 s
//	      |  otherwise                               | when its time is over
//	      v                                          v
//	warren.delay.4 ...                           warren.delay.4 ...
//	      :
//	warren.delay.deliver --(header warren-to = hello)--> queue hello
//	                     --(header warren-to-topic = logs)--> exchange logs
//
// Within a level all wait equally long, so nothing waits behind anything that
// waits longer. The queues are quorum queues, which move a message on only when
// the next one has stored it (at-least-once dead-lettering). The exchanges go
// by headers and leave the routing key alone. NServiceBus does it this way with
// routing keys (https://docs.particular.net/transports/rabbitmq/delayed-delivery).
const (
	delayPrefix   = "warren.delay."
	delayDeliver  = delayPrefix + "deliver"
	delayStranded = delayPrefix + "stranded"
	delayUnbound  = delayPrefix + "unbound"

	headerTo          = metadata.To
	headerToTopic     = metadata.ToTopic
	delayHeaderPrefix = metadata.Delay

	delayUnit = 100 * time.Millisecond
	maxLevel  = 24 // 2^25 units are 38 days, more than messaging.MaxDelay
)

// strandedTTL is how long messages are kept whose queue was deleted while they
// waited. They are in a queue of their own, because they would otherwise hold
// up those behind them.
const strandedTTL = 7 * 24 * time.Hour

func levelName(level int) string   { return delayPrefix + strconv.Itoa(level) }
func levelHeader(level int) string { return delayHeaderPrefix + strconv.Itoa(level) }

// delayUnits rounds up: never earlier than asked for.
func delayUnits(d time.Duration) uint { return uint((d + delayUnit - 1) / delayUnit) }

// delayed sends p to a queue by way of the wait queues, for a delay of more
// than zero.
func delayed(p amqp.Publishing, queue string, delay time.Duration) outgoing {
	p.Headers[headerTo] = queue
	return byLevels(toQueue(queue, p), delay)
}

// delayedToTopic is delayed for a topic.
func delayedToTopic(p amqp.Publishing, topic, key string, delay time.Duration) outgoing {
	p.Headers[headerToTopic] = topic
	return byLevels(toTopic(topic, key, p), delay)
}

// hasWaited says whether a message with these headers came by the wait queues.
func hasWaited(h amqp.Table) bool {
	_, queue := h[headerTo]
	_, topic := h[headerToTopic]
	return queue || topic
}

func byLevels(o outgoing, delay time.Duration) outgoing {
	h := o.publishing.Headers
	units := delayUnits(delay)
	for level := range bits.Len(units) {
		if units&(1<<level) != 0 {
			h[levelHeader(level)] = "1"
		}
	}
	saveDeath(h)
	o.publishing.Expiration = "" // it would end the wait; the consumer looks at headerExpires
	o.exchange, o.mandatory = levelName(highestLevel(delay)), true
	return o
}

func highestLevel(d time.Duration) int { return bits.Len(delayUnits(d)) - 1 }

// levelConfig is a level as watermill-amqp's Config: an exchange, a queue and
// their binding.
func levelConfig(level, major int) wamqp.Config {
	next := delayDeliver
	if level > 0 {
		next = levelName(level - 1)
	}
	args := amqp.Table{
		amqp.QueueTypeArg:        queueTypeQuorum,
		amqp.QueueMessageTTLArg:  levelTTL(level).Milliseconds(),
		amqp.QueueOverflowArg:    messaging.RejectPublish.String(),
		"x-dead-letter-exchange": next,
		"x-dead-letter-strategy": "at-least-once",
	}
	unlimitedDeliveries(args, major)
	c := headersConfig(levelName(level), amqp.Table{"alternate-exchange": next})
	c.Queue.GenerateName = wamqp.GenerateQueueNameConstant(levelName(level))
	c.Queue.Arguments = args
	c.QueueBind.Arguments = amqp.Table{"x-match": "all", levelHeader(level): "1"}
	return c
}

// levelTTL is a millisecond longer than the level's bit says, because the
// broker counts whole milliseconds and must not be early.
func levelTTL(level int) time.Duration { return delayUnit<<level + time.Millisecond }

// strandedConfig is the last exchange, and where it sends what nobody takes.
func strandedConfig(major int) wamqp.Config {
	args := amqp.Table{
		amqp.QueueTypeArg:       queueTypeQuorum,
		amqp.QueueMessageTTLArg: strandedTTL.Milliseconds(),
	}
	unlimitedDeliveries(args, major)
	c := headersConfig(delayStranded, nil)
	c.Exchange.Type = amqp.ExchangeFanout
	c.Queue.GenerateName = wamqp.GenerateQueueNameConstant(delayStranded)
	c.Queue.Arguments = args
	return c
}

// unboundConfig is a queue that drops everything at once. Each message to a
// topic goes there as well: one that nobody is bound for would otherwise be
// unroutable, and at-least-once dead-lettering would keep trying, and hold up
// those behind it.
func unboundConfig() wamqp.Config {
	c := deliverConfig()
	c.Queue.GenerateName = wamqp.GenerateQueueNameConstant(delayUnbound)
	c.Queue.Arguments = amqp.Table{amqp.QueueTypeArg: queueTypeClassic, amqp.QueueMessageTTLArg: int64(0)}
	c.QueueBind.Arguments = amqp.Table{"x-match": "all", headerToTopic: nil} // nil is any value
	return c
}

func deliverConfig() wamqp.Config {
	return headersConfig(delayDeliver, amqp.Table{"alternate-exchange": delayStranded})
}

func headersConfig(exchange string, args amqp.Table) wamqp.Config {
	c := wamqp.NewDurablePubSubConfig("", nil)
	c.Exchange.GenerateName = func(string) string { return exchange }
	c.Exchange.Type = amqp.ExchangeHeaders
	c.Exchange.Arguments = args
	return c
}

// declareLevels declares the levels up to highest, from the last stop back to
// the entrance, so that no message meets a way that ends.
func (g *generation) declareLevels(highest int) error {
	builder := &wamqp.DefaultTopologyBuilder{}
	build := func(c wamqp.Config) error {
		return g.do(func(ch *amqp.Channel) error {
			return builder.BuildTopology(ch, c.Queue.GenerateName(""), c.Exchange.GenerateName(""), c, watermill.NopLogger{})
		})
	}
	if err := build(strandedConfig(g.major)); err != nil {
		return err
	}
	if err := build(unboundConfig()); err != nil {
		return err
	}
	for level := range highest + 1 {
		if err := build(levelConfig(level, g.major)); err != nil {
			return err
		}
	}
	return nil
}

// openWay makes sure that a message with that delay finds its way.
func (g *generation) openWay(to messaging.Address, delay time.Duration) error {
	g.delays.Lock()
	defer g.delays.Unlock()
	if highest := highestLevel(delay); highest >= g.levels {
		if err := g.declareLevels(highest); err != nil {
			return fmt.Errorf("declare the wait queues %s*: %w", delayPrefix, err)
		}
		g.levels = highest + 1
	}
	err := g.do(func(ch *amqp.Channel) error {
		if to.IsTopic() {
			return ch.ExchangeBind(to.Name(), "", delayDeliver, false, amqp.Table{"x-match": "all", headerToTopic: to.Name()})
		}
		return ch.QueueBind(to.Name(), "", delayDeliver, false, amqp.Table{"x-match": "all", headerTo: to.Name()})
	})
	if code(err) == amqp.NotFound && strings.Contains(err.Error(), "no exchange '"+delayDeliver+"'") {
		g.levels = 0 // somebody deleted it: declare everything again
		return fmt.Errorf("the exchange %s was deleted: %w", delayDeliver, amqp.ErrClosed)
	}
	return err
}

// openWay is asked before every Publish with a delay, and not remembered: a
// queue that somebody deleted and declared again has lost its binding.
func (b *Broker) openWay(ctx context.Context, to messaging.Address, delay time.Duration) error {
	return b.ask(ctx, func(g *generation) error { return g.openWay(to, delay) })
}

// lostWay is called when an exchange on the way was not there: somebody has
// deleted it. What is missing is declared again before the next use.
func (b *Broker) lostWay(ctx context.Context) {
	_ = b.ask(ctx, func(g *generation) error { // fails only where the connection is gone, and what it remembers
		g.delays.Lock()
		defer g.delays.Unlock()
		g.levels = 0
		return nil
	})
}
