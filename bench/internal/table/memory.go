package table

import (
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

func memory() []measure.Row {
	one := peers.Load{Publishers: 1, Consumers: 1, Body: body}
	four := peers.Load{Publishers: 4, Consumers: 4, Body: body}
	return []measure.Row{
		{
			Name: "memory-1-1", Title: "1 publisher, 1 consumer, 1 message a call",
			Contenders: []measure.Contender{
				exchange(one, Warren, "", 0, peers.WarrenMemory(1)),
				exchange(one, GoChannel, "", 10, peers.GoChannel(1)),
				memPubSub(one),
				exchange(one, NATS, noAck, 2, peers.NATS),
			},
		},
		{
			Name: "memory-4-4", Title: "4 publishers, 4 competing consumers, 1 message a call",
			Contenders: []measure.Contender{
				exchange(four, Warren, "", 0, peers.WarrenMemory(1)),
				memPubSub(four),
				exchange(four, NATS, noAck, 2, peers.NATS),
			},
		},
	}
}

func exchange(load peers.Load, name, less string, want float64, open peers.OpenExchange) measure.Contender {
	return measure.Contender{
		Name: name, Less: less, Want: want, Unit: load.Publishers,
		Work: peers.Exchanging(load, open),
	}
}

// memPubSub polls four times a second when it has been idle: its rounds are
// longer, so that the first wait matters less.
func memPubSub(load peers.Load) measure.Contender {
	c := exchange(load, MemPubSub, "", 30, peers.MemPubSub)
	c.Round = time.Second
	return c
}
