package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Topics. Topic t is the exchange t, and group g of it the queue t.g, bound to
// the exchange once for each pattern. A private subscription has an exclusive
// queue of its own.

// topicConfig is a topic as watermill-amqp's Config: a durable exchange of type
// topic, named as it.
func topicConfig() wamqp.Config {
	c := wamqp.NewDurablePubSubConfig("", nil)
	c.Exchange.Type = amqp.ExchangeTopic
	return c
}

// bindingKeys are the patterns that src asks for.
func bindingKeys(src messaging.Source) []string {
	if len(src.Keys) == 0 {
		return []string{"#"}
	}
	return src.Keys
}

// isPrivate says whether src is a subscription to a topic without a group.
func isPrivate(src messaging.Source) bool { return src.Address.IsTopic() && src.Group == "" }

// queueOf is the queue in which the messages of src wait. A private one does
// not have the topic's name, because the broker reserves names that begin with
// "amq.", as those of its own exchanges do.
func queueOf(src messaging.Source) string {
	if isPrivate(src) {
		return "warren.private." + messaging.NewID()
	}
	return src.Queue().Name()
}

// ensureTopic makes sure that a topic's exchange exists. One that does is used
// as it is, whatever its type.
func (b *Broker) ensureTopic(g *generation, topic string) error {
	err := lookForExchange(g, topic)
	if code(err) != amqp.NotFound {
		return err
	}
	conf := topicConfig()
	return g.do(func(ch *amqp.Channel) error {
		return b.cfg.topology.ExchangeDeclare(ch, conf.Exchange.GenerateName(topic), conf)
	})
}

// lookForExchange asks for an exchange without declaring it. The broker does
// not compare the type.
func lookForExchange(g *generation, name string) error {
	return g.do(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(name, amqp.ExchangeTopic, true, false, false, false, nil)
	})
}

// bindKeys binds a queue to a topic. The first answer tells what is wrong with
// all of them, and the last that all are there: thousands take two round trips.
func bindKeys(g *generation, queue, topic string, keys []string) error {
	return g.do(func(ch *amqp.Channel) error {
		for i, key := range keys {
			noWait := i > 0 && i < len(keys)-1
			if err := ch.QueueBind(queue, key, topic, noWait, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// ensureGroup makes sure that src's topic and queue exist and are bound. It
// takes no binding away: AMQP has no list of them.
func (b *Broker) ensureGroup(g *generation, src messaging.Source, q messaging.QueueSpec) error {
	topic := src.Address.Name()
	if err := b.ensureTopic(g, topic); err != nil {
		return err
	}
	if err := b.ensure(g, q); err != nil {
		return err
	}
	err := bindKeys(g, q.Name, topic, bindingKeys(src))
	if err != nil && q.Exclusive { // it has no consumer whose end would delete it
		_ = g.do(func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(q.Name, false, false, false)
			return err
		})
	}
	return err
}

// Bind implements [messaging.Manager]. It declares what is missing of the
// topic's exchange and the group's queue, as Subscribe does, and binds them.
// Bindings add up: a pattern that was once asked for stays until the queue is
// deleted.
func (b *Broker) Bind(ctx context.Context, from messaging.Source) error {
	if err := messaging.CheckBind(from); err != nil {
		return err
	}
	doing := fmt.Sprintf("bind group %s to %s", from.Group, from.Address)
	return b.manage(ctx, doing, func(g *generation) error {
		return b.ensureGroup(g, from, b.specOf(from.Queue().Name()))
	})
}

// errNobody is why a message to a topic is not sent, and yet no error: there is
// no exchange, so nobody is bound to it.
var errNobody = errors.New("nobody is bound")

// lookForTopic says whether a topic's exchange exists, nil or errNobody.
// Publishing to one that does not would cost the channel, and all that is on
// its way there would have to be sent again. Only that it is there is
// remembered: it may be declared at any time.
func (b *Broker) lookForTopic(ctx context.Context, topic string) error {
	if _, known := b.publisher.topics.Load(topic); known {
		return nil
	}
	err := b.askOn(ctx, b.publishes, func(g *generation) error { return lookForExchange(g, topic) })
	switch {
	case err == nil:
		b.publisher.topics.Store(topic, nil)
	case code(err) == amqp.NotFound:
		return errNobody
	}
	return err
}

// nobodyTakes says whether the broker closed a channel because the exchange of
// m, a message to a topic, is not there: it names the exchange, if that is not
// too long, and a message that was alone on its channel needs no name.
func (m *outgoing) nobodyTakes(exception error, alone bool) bool {
	return !m.mandatory && code(exception) == amqp.NotFound &&
		(alone || strings.Contains(exception.Error(), "no exchange '"+m.exchange+"'"))
}
