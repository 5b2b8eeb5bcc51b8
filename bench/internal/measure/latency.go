package measure

import (
	"context"
	"fmt"
	"time"
)

// Latency is how long messages are on their way at shares of the top rate.
type Latency struct {
	Shares []float64 // of the top rate, for example 0.1
	Ways   []Way     // compared with the first of them
	Rounds int
	Round  time.Duration // how long messages are sent in a round
}

// Way is one publisher and consumer.
type Way struct {
	Name string
	// Paced sends at a rate, 0 being as fast as it goes.
	Paced func(ctx context.Context, rate float64, length time.Duration) (*Calls, error)
}

// LatencyResult is what was seen.
type LatencyResult struct {
	Latency Latency
	Top     float64     // messages a second: the lowest top rate of the ways
	Rounds  [][]*Rounds // by share and way
}

// Rounds are the durations of one way at one rate.
type Rounds struct {
	All  *Calls
	Each []*Calls
}

// Quantile is the median of the rounds' quantiles: one that was disturbed does
// not count.
func (r *Rounds) Quantile(q float64) time.Duration {
	var each []float64
	for _, c := range r.Each {
		each = append(each, float64(c.Quantile(q)))
	}
	return time.Duration(Median(each))
}

// count is the median of the rounds' numbers.
func (r *Rounds) count() float64 {
	var each []float64
	for _, c := range r.Each {
		each = append(each, float64(c.Count()))
	}
	return Median(each)
}

// Measure finds the top rate, and then measures at the shares of it.
func (l Latency) Measure(ctx context.Context, progress func(what string)) (LatencyResult, error) {
	result := LatencyResult{Latency: l}
	progress("latency, top rate")
	free, err := l.at(ctx, 0)
	if err != nil {
		return result, fmt.Errorf("latency, top rate: %w", err)
	}
	for _, way := range free {
		rate := way.count() / l.Round.Seconds()
		if result.Top == 0 || rate < result.Top {
			result.Top = rate
		}
	}
	for _, share := range l.Shares {
		progress(fmt.Sprintf("latency at %.0f %% of the top rate", 100*share))
		rounds, err := l.at(ctx, share*result.Top)
		if err != nil {
			return result, fmt.Errorf("latency at %.0f %% of the top rate: %w", 100*share, err)
		}
		result.Rounds = append(result.Rounds, rounds)
	}
	return result, nil
}

// at lets the ways take turns at one rate.
func (l Latency) at(ctx context.Context, rate float64) ([]*Rounds, error) {
	all := make([]*Rounds, len(l.Ways))
	for i := range all {
		all[i] = &Rounds{All: NewCalls()}
	}
	for round := range l.Rounds {
		for turn := range l.Ways {
			i := (round + turn) % len(l.Ways)
			calls, err := l.Ways[i].Paced(ctx, rate, l.Round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.Ways[i].Name, err)
			}
			all[i].All.Add(calls)
			all[i].Each = append(all[i].Each, calls)
		}
	}
	return all, nil
}
