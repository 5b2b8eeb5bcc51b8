package table

import (
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

var (
	one  = peers.Load{Publishers: 1, Consumers: 1, Body: body}
	four = peers.Load{Publishers: 4, Consumers: 4, Body: body}
)

func exchanging(env Env) []measure.Row {
	return []measure.Row{
		{
			Name: "memory-1-1", Title: "1 publisher, 1 consumer, 1 message a call",
			Contenders: []measure.Contender{
				env.exchange(one, Warren, "", 0, peers.WarrenMemory(1)),
				env.exchange(one, GoChannel, "", 10, peers.GoChannel(1)),
				env.memPubSub(one, 30),
				env.exchange(one, NATS, noAck, 2, peers.NATS),
				env.bound(one, CopyingQueue, noRules, peers.CopyingQueue),
				env.bound(one, MutexQueue, noBroker, peers.MutexQueue),
				env.bound(one, Channel, noBroker, peers.Channel),
			},
		},
		{
			Name: "memory-4-4", Title: "4 publishers, 4 competing consumers, 1 message a call",
			Contenders: []measure.Contender{
				env.exchange(four, Warren, "", 0, peers.WarrenMemory(1)),
				env.memPubSub(four, 30),
				env.exchange(four, NATS, noAck, 2, peers.NATS),
				env.bound(four, CopyingQueue, noRules, peers.CopyingQueue),
				env.bound(four, MutexQueue, noBroker, peers.MutexQueue),
				env.bound(four, Channel, noBroker, peers.Channel),
			},
		},
	}
}

// batches are the same with 100 messages a call, where there is such a call.
func batches(env Env) []measure.Row {
	const perCall = 100
	return []measure.Row{
		{
			Name: "memory-1-1-batch", Title: "1 publisher, 1 consumer, 100 messages a call",
			Contenders: []measure.Contender{
				env.exchange(one, Warren, "", 0, peers.WarrenMemory(perCall)),
				env.exchange(one, Warren+"-1-a-call", "", 0, peers.WarrenMemory(1)),
				env.exchange(one, GoChannel, "", 20, peers.GoChannel(perCall)),
				env.exchange(one, NATS, noAck, 4, peers.NATS),
			},
		},
		{
			Name: "memory-4-4-batch", Title: "4 publishers, 4 competing consumers, 100 messages a call",
			Contenders: []measure.Contender{
				env.exchange(four, Warren, "", 0, peers.WarrenMemory(perCall)),
				env.exchange(four, Warren+"-1-a-call", "", 0, peers.WarrenMemory(1)),
				env.exchange(four, NATS, noAck, 4, peers.NATS),
			},
		},
	}
}

// growing is about the memory broker with much in it.
func growing(env Env) []measure.Row {
	const waiting, queues = 1_000_000, 1000
	return []measure.Row{
		{
			Name: "memory-waiting", Title: "1 publisher, 1 consumer, behind 1,000,000 waiting messages",
			Contenders: []measure.Contender{
				env.exchange(one, Warren+"-1000000-waiting", "", 0, peers.WarrenWaiting(waiting)),
				env.exchange(one, Warren+"-none-waiting", "", 0.8, peers.WarrenWaiting(0)),
			},
		},
		{
			Name: "memory-queues", Title: "4 publishers, 4 consumers, over 1,000 queues",
			Contenders: []measure.Contender{
				env.exchange(four, Warren+"-1000-queues", "", 0, peers.WarrenQueues(queues)),
				env.exchange(four, Warren+"-4-queues", "", 0.8, peers.WarrenQueues(4)),
				env.bound(four, CopyingQueue+"-1000-queues", noRules, peers.CopyingQueues(queues)),
				env.bound(four, CopyingQueue+"-4-queues", noRules, peers.CopyingQueues(4)),
			},
		},
	}
}

func (env Env) exchange(load peers.Load, name, less string, want float64, open peers.OpenExchange) measure.Contender {
	return measure.Contender{
		Name: name, Less: less, Want: want, Unit: load.Publishers, First: 20_000, Apart: true,
		Work: peers.Exchanging(measure.NewMeter(0), load, open),
	}
}

// bound is what the language can do.
func (env Env) bound(load peers.Load, name, less string, open peers.OpenExchange) measure.Contender {
	c := env.exchange(load, name, less, 0, open)
	c.Bound = true
	return c
}

// memPubSub polls four times a second when it has been idle: its rounds are
// longer, so that the first wait matters less.
func (env Env) memPubSub(load peers.Load, want float64) measure.Contender {
	c := env.exchange(load, MemPubSub, "", want, peers.MemPubSub)
	c.Round = 600 * time.Millisecond
	return c
}
