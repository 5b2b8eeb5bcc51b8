package measure

import (
	"runtime"
	"slices"
	"time"
)

// Sample is what one round of one contender showed.
type Sample struct {
	Messages int
	Cost
}

// Rate is in messages a second.
func (s Sample) Rate() float64 { return float64(s.Messages) / s.Took.Seconds() }

// Result is what a row's rounds showed.
type Result struct {
	Row     Row
	Samples [][]Sample // by contender, as in Row
}

// Rate is the median of a contender's rounds, in messages a second.
func (r Result) Rate(contender int) float64 { return Median(r.rates(contender)) }

// Spread is the slowest and the fastest of a contender's rounds.
func (r Result) Spread(contender int) (least, most float64) {
	rates := r.rates(contender)
	return slices.Min(rates), slices.Max(rates)
}

// Messages is how many messages a contender moved in all rounds that count.
func (r Result) Messages(contender int) (sum int) {
	for _, s := range r.Samples[contender] {
		sum += s.Messages
	}
	return sum
}

// Ratio is the first contender's rate by that of another.
func (r Result) Ratio(contender int) float64 { return r.Rate(0) / r.Rate(contender) }

// Met says whether the ratio to a contender is what its row wants.
func (r Result) Met(contender int) bool {
	return r.Ratio(contender) >= r.Row.Contenders[contender].Want
}

// ClientCPU is the processor time that a message of a contender took in this
// process, over all rounds that count.
func (r Result) ClientCPU(contender int) time.Duration {
	return r.perMessage(contender, func(s Sample) time.Duration { return s.Client })
}

// BrokerCPU is the same in the broker's, 0 where it is not known.
func (r Result) BrokerCPU(contender int) time.Duration {
	return r.perMessage(contender, func(s Sample) time.Duration { return s.Broker })
}

// Busy is the share of the machine's cores that client and broker together
// used in a contender's rounds, from 0 to 1. Where it is near 1 and nothing
// else runs, the processors are what limits the rate.
func (r Result) Busy(contender int) float64 {
	var used, had time.Duration
	for _, s := range r.Samples[contender] {
		used += s.Client + s.Broker
		had += s.Took * time.Duration(runtime.NumCPU())
	}
	return float64(used) / float64(had)
}

func (r Result) perMessage(contender int, of func(Sample) time.Duration) (sum time.Duration) {
	for _, s := range r.Samples[contender] {
		sum += of(s)
	}
	return sum / time.Duration(r.Messages(contender))
}

func (r Result) rates(contender int) []float64 {
	var rates []float64
	for _, s := range r.Samples[contender] {
		rates = append(rates, s.Rate())
	}
	return rates
}

// Median is the middle of the values, or between the two middle ones. There
// must be a value.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
