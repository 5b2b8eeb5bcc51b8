package table

import (
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

const batch = 1000

func publishing(env Env) []measure.Row {
	return []measure.Row{
		{
			Name: "rabbitmq-publish-batch", Title: "publish, 1 goroutine, 1,000 messages a call", Alike: true,
			Contenders: []measure.Contender{
				env.publisher(batch, Warren, "", 0, peers.WarrenPublisher(1, batch, nil)),
				env.publisher(batch, Raw, "", 0.95, peers.RawBatches(batch)),
				env.publisher(batch, RawPlain, plain, 0, peers.Plain(peers.RawBatches(batch))),
				env.publisher(batch, RawSame, "", 0, peers.SameMessage(peers.RawBatches(batch))),
				env.publisher(batch, RawWindow, noBatch, 0, peers.RawWindow(batch)),
				env.wire(batch, peers.WireBatches(batch)),
				own(env.publisher(batch, WatermillAMQP, noRouted, 10, peers.WatermillPublisher(1, batch))),
			},
		},
		{
			Name: "rabbitmq-publish-64", Title: "publish, 64 goroutines, 1 message a call", Alike: true,
			Contenders: []measure.Contender{
				env.publisher(64, Warren, "", 0, peers.WarrenPublisher(64, 1, nil)),
				env.publisher(64, Raw, "", 1.3, peers.RawEach(64, 64, nil)),
				env.publisher(64, RawPlain, plain, 0, peers.Plain(peers.RawEach(64, 64, nil))),
				env.publisher(64, RawSame, "", 0, peers.SameMessage(peers.RawEach(64, 64, nil))),
				env.publisher(64, RawShared, "", 0, peers.RawEach(64, 1, nil)),
				env.publisher(64, RawSharedSame, "", 0, peers.SameMessage(peers.RawEach(64, 1, nil))),
				env.wire(64, peers.Wire(64)),
				env.publisher(64, WatermillAMQP, noRouted, 1.3, peers.WatermillPublisher(64, 1)),
				env.publisher(64, Wagslane, plain, 0, peers.WagslanePublisher(64)),
				env.publisher(64, RabbitPubSub, "", 0, peers.GoCloudPublisher(64)),
			},
		},
		{
			Name: "rabbitmq-publish-1", Title: "publish, 1 goroutine, 1 message a call", Alike: true, Finer: 3,
			Contenders: []measure.Contender{
				env.publisher(1, Warren, "", 0, peers.WarrenPublisher(1, 1, nil)),
				env.publisher(1, Raw, "", 0.95, peers.RawEach(1, 1, nil)),
				env.publisher(1, RawPlain, plain, 0, peers.Plain(peers.RawEach(1, 1, nil))),
				env.publisher(1, RawSame, "", 0, peers.SameMessage(peers.RawEach(1, 1, nil))),
				env.wire(1, peers.Wire(1)),
				env.publisher(1, WatermillAMQP, noRouted, 0, peers.WatermillPublisher(1, 1)),
				own(env.publisher(1, WatermillDefault, noRouted, 0, peers.WatermillDefault(1, 1))),
				env.publisher(1, Wagslane, plain, 0, peers.WagslanePublisher(1)),
				env.publisher(1, RabbitPubSub, "", 0, peers.GoCloudPublisher(1)),
			},
		},
	}
}

// publisher moves a multiple of unit messages, after some that do not count.
func (env Env) publisher(unit int, name, less string, want float64, open peers.OpenPublisher) measure.Contender {
	return measure.Contender{
		Name: name, Less: less, Want: want, Unit: unit, First: 200,
		Work: env.RabbitMQ.Publishing(min(unit, 64), body, open),
	}
}

// own is for one that would take too long for as many messages as others move.
func own(c measure.Contender) measure.Contender {
	c.Own = true
	return c
}

// wire is what the broker takes.
func (env Env) wire(unit int, open peers.OpenPublisher) measure.Contender {
	c := env.publisher(unit, Wire, noClient, 0, open)
	c.Bound = true
	return c
}

func consuming(env Env) []measure.Row {
	return []measure.Row{
		{
			Name: "rabbitmq-consume-1", Title: "consume and acknowledge, prefetch 100, 1 handler", Alike: true,
			Contenders: []measure.Contender{
				env.consumer(Warren, 0, peers.WarrenConsumer(1, peers.Prefetch)),
				env.consumer(RawAckEach, 1.6, peers.RawConsumer(1, peers.Prefetch, 1)),
				env.consumer(RawAckMultiple, 0.95, peers.RawConsumer(1, peers.Prefetch, peers.Prefetch/2)),
				env.watermillConsumer(1),
				env.consumer(Wagslane, 0, peers.WagslaneConsumer(1)),
				own(env.consumer(RabbitPubSub, 0, peers.GoCloudConsumer(1))),
			},
		},
		{
			// The handlers of warren share one channel; so it may hold as many messages as eight channels.
			Name: "rabbitmq-consume-8", Title: "consume and acknowledge, 8 handlers, prefetch 100 for each", Alike: true,
			Contenders: []measure.Contender{
				env.consumer(Warren, 0, peers.WarrenConsumer(8, 8*peers.Prefetch)),
				env.consumer(Raw, 1.5, peers.RawConsumer(8, peers.Prefetch, 1)),
				env.watermillConsumer(8),
				env.consumer(Wagslane, 0, peers.WagslaneConsumer(8)),
				own(env.consumer(RabbitPubSub, 0, peers.GoCloudConsumer(8))),
			},
		},
	}
}

// consumer has rounds that are long enough for a broker that stands still for
// a few milliseconds now and then, to collect its garbage.
func (env Env) consumer(name string, want float64, consume peers.Consume) measure.Contender {
	return measure.Contender{Name: name, Want: want, Round: consumeRound, Work: env.RabbitMQ.Consuming(body, 0, consume)}
}

const consumeRound = 400 * time.Millisecond

// watermillConsumer may leave as many messages as it has workers: its Close
// gives back what is just being acknowledged.
func (env Env) watermillConsumer(workers int) measure.Contender {
	return measure.Contender{
		Name: WatermillAMQP, Less: "its Close may give back what was handled", Round: consumeRound,
		Work: env.RabbitMQ.Consuming(body, workers, peers.WatermillConsumer(workers)),
	}
}

// handling is about handlers that wait for something: their number is what
// the rate must grow with.
func handling(env Env) []measure.Row {
	const work = 10 * time.Millisecond
	slow := func(name string, workers int, want float64) measure.Contender {
		c := env.consumer(name, want, peers.Slow(work, peers.WarrenConsumer(workers, peers.Prefetch)))
		c.Round, c.First = time.Second, 2*workers
		return c
	}
	return []measure.Row{{
		Name: "rabbitmq-handlers-10ms", Title: "handlers of 10 ms, prefetch 100",
		Contenders: []measure.Contender{
			slow("64-handlers", 64, 0),
			slow("8-handlers", 8, 0.9*64/8),
			slow("1-handler", 1, 0.9*64),
		},
	}}
}
