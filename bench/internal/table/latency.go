package table

import (
	"context"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

// WantLatency is the least ratio of raw's latency to warren's at a tenth of the
// top rate: warren may take a tenth longer.
const WantLatency = 1 / 1.1

// Latency is end to end, on RabbitMQ: 64 publishing goroutines, one message a
// call, and one handler with prefetch 100.
func Latency(env Env, rounds int) measure.Latency {
	way := func(name string, open peers.OpenSender, consume peers.Consume) measure.Way {
		return measure.Way{
			Name: name,
			Paced: func(ctx context.Context, rate float64, length time.Duration) (*measure.Calls, error) {
				return env.RabbitMQ.Paced(ctx, peers.Way{Open: open, Consume: consume}, rate, length)
			},
		}
	}
	return measure.Latency{
		Shares: []float64{0.1, 0.5, 0.9},
		Rounds: rounds,
		Round:  time.Second,
		Ways: []measure.Way{
			way(Warren, peers.WarrenSender, peers.WarrenConsumer(1, peers.Prefetch)),
			way(Raw, peers.RawSender, peers.RawConsumer(1, peers.Prefetch, peers.Prefetch/2)),
		},
	}
}
