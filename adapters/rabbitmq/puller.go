package rabbitmq

import (
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// puller is a channel for basic.get from one queue. Those who hold messages of
// the queue share it, since a connection has 2,047 channels. Other queues have
// others: asking for one that does not exist closes the channel, and returns
// what was held on it.
type puller struct {
	gen   *generation
	queue string
	ch    *amqp.Channel

	asking sync.Mutex // one question at a time: amqp091-go cannot tell the answers apart
	users  int        // calls that ask, and messages that are held; guarded by generation.pulls
}

// puller returns the one for a queue. Whoever gets it calls release.
func (g *generation) puller(queue string) (*puller, error) {
	if p := g.join(queue, nil); p != nil {
		return p, nil
	}
	ch, err := g.borrow() // without the lock, which others need to settle
	if err != nil {
		return nil, err
	}
	p := g.join(queue, ch)
	if p.ch != ch { // somebody else was faster
		g.giveBack(ch)
	}
	return p, nil
}

// join makes the caller a user of the queue's puller. Where there is none, ch
// becomes it, or the answer is nil.
func (g *generation) join(queue string, ch *amqp.Channel) *puller {
	g.pulls.Lock()
	defer g.pulls.Unlock()
	p := g.pullers[queue]
	if p == nil || p.ch.IsClosed() {
		if ch == nil {
			return nil
		}
		p = &puller{gen: g, queue: queue, ch: ch}
		g.pullers[queue] = p
	}
	p.users++
	return p
}

func (p *puller) release() {
	if p.leave() {
		p.gen.giveBack(p.ch)
	}
}

// leave says whether that was the last user.
func (p *puller) leave() bool {
	p.gen.pulls.Lock()
	defer p.gen.pulls.Unlock()
	p.users--
	if p.users == 0 && p.gen.pullers[p.queue] == p {
		delete(p.gen.pullers, p.queue)
	}
	return p.users == 0
}

func (p *puller) get(autoAck bool) (amqp.Delivery, bool, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	return p.ch.Get(p.queue, autoAck)
}

// back returns a message to its queue. It fails only with the channel, which
// returns the message too.
func (p *puller) back(raw *amqp.Delivery) {
	_ = p.ch.Nack(raw.DeliveryTag, false, true)
	p.release()
}
