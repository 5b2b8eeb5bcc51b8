package table

import (
	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

const batch = 1000

func publishing(r *peers.RabbitMQ) []measure.Row {
	return []measure.Row{
		{
			Name: "rabbitmq-publish-batch", Title: "publish, 1 goroutine, 1,000 messages a call",
			Contenders: []measure.Contender{
				publisher(r, batch, Warren, "", 0, peers.WarrenPublisher(1, batch)),
				publisher(r, batch, Raw, noRouted, 0.95, peers.RawBatches(batch)),
				publisher(r, batch, WatermillAMQP, noRouted, 10, peers.WatermillPublisher(1, batch)),
			},
		},
		{
			Name: "rabbitmq-publish-64", Title: "publish, 64 goroutines, 1 message a call",
			Contenders: []measure.Contender{
				publisher(r, 64, Warren, "", 0, peers.WarrenPublisher(64, 1)),
				publisher(r, 64, Raw, noRouted, 1.3, peers.RawEach(64, 64)),
				publisher(r, 64, WatermillAMQP, noRouted, 1.3, peers.WatermillPublisher(64, 1)),
			},
		},
		{
			Name: "rabbitmq-publish-1", Title: "publish, 1 goroutine, 1 message a call",
			Contenders: []measure.Contender{
				publisher(r, 1, Warren, "", 0, peers.WarrenPublisher(1, 1)),
				publisher(r, 1, Raw, noRouted, 0.95, peers.RawEach(1, 1)),
			},
		},
	}
}

// publisher moves a multiple of unit messages, after one unit that is not
// counted.
func publisher(r *peers.RabbitMQ, unit int, name, less string, want float64, open peers.OpenPublisher) measure.Contender {
	return measure.Contender{
		Name: name, Less: less, Want: want, Unit: unit,
		Work: r.Publishing(unit, body, open),
	}
}

func consuming(r *peers.RabbitMQ) []measure.Row {
	return []measure.Row{
		{
			Name: "rabbitmq-consume-1", Title: "consume and acknowledge, prefetch 100, 1 handler",
			Contenders: []measure.Contender{
				consumer(r, Warren, 0, peers.WarrenConsumer(1, peers.Prefetch)),
				consumer(r, RawAckEach, 1.6, peers.RawConsumer(1, peers.Prefetch, 1)),
				consumer(r, RawAckMultiple, 0.95, peers.RawConsumer(1, peers.Prefetch, peers.Prefetch/2)),
			},
		},
		{
			Name: "rabbitmq-consume-8", Title: "consume and acknowledge, prefetch 100, 8 handlers",
			Contenders: []measure.Contender{
				consumer(r, Warren, 0, peers.WarrenConsumer(8, peers.Prefetch)),
				consumer(r, Raw, 1.5, peers.RawConsumer(8, peers.Prefetch, 1)),
			},
		},
	}
}

func consumer(r *peers.RabbitMQ, name string, want float64, consume peers.Consume) measure.Contender {
	return measure.Contender{Name: name, Want: want, Work: r.Consuming(body, consume)}
}
