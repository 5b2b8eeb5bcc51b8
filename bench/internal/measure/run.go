package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Run is how rows are measured.
type Run struct {
	// Rounds is how often each contender is measured, after one round that
	// does not count and finds out how many messages a round has.
	Rounds int
	// Round is how long a round should take.
	Round time.Duration
	// Progress is called before each round, 0 being the one that does not
	// count.
	Progress func(row Row, round int)
	// Around is called before a contender's round, and what it returns after
	// it; last is its last one. Defaults to nothing.
	Around func(row Row, c Contender, last bool) (stop func() error, err error)
	// Apart does the work of contenders that are marked so in a process of its
	// own. Defaults to this process.
	Apart func(ctx context.Context, row Row, c Contender, n int) (Cost, error)
}

// Measure lets the contenders of a row take turns. Each round begins with
// another one, and each contender with a heap that was just collected.
func (r Run) Measure(ctx context.Context, row Row) (Result, error) {
	result := Result{Row: row, Samples: make([][]Sample, len(row.Contenders))}
	counts := make([]int, len(row.Contenders))
	for i, c := range row.Contenders {
		counts[i] = c.Count(cmp.Or(c.First, 1000))
	}
	rounds := row.rounds(r.Rounds)
	for round := range rounds + 1 {
		r.Progress(row, round)
		if round == 1 {
			row.forget()
		}
		alike := counts[0]
		for turn := range row.Contenders {
			i := (turn + round) % len(row.Contenders)
			c := row.Contenders[i]
			n := counts[i]
			if row.Alike && !c.Own && round > 0 {
				n = alike
			}
			s, err := r.one(ctx, row, c, round == rounds, n)
			if err != nil {
				return result, fmt.Errorf("%s, %s: %w", row.Name, c.Name, err)
			}
			counts[i] = r.next(row, c, s)
			if round > 0 {
				result.Samples[i] = append(result.Samples[i], s)
			}
		}
	}
	return result, nil
}

// forget drops the calls of the round that does not count.
func (row Row) forget() {
	for _, c := range row.Contenders {
		c.Calls.reset()
	}
}

// one is a round of one contender.
func (r Run) one(ctx context.Context, row Row, c Contender, last bool, n int) (Sample, error) {
	stop := func() error { return nil }
	if r.Around != nil {
		var err error
		if stop, err = r.Around(row, c, last); err != nil {
			return Sample{}, err
		}
	}
	work := c.Work
	if c.Apart && r.Apart != nil {
		work = func(ctx context.Context, n int) (Cost, error) { return r.Apart(ctx, row, c, n) }
	}
	runtime.GC()
	cost, err := work(ctx, n)
	return Sample{Messages: n, Cost: cost}, errors.Join(err, stop())
}

// next is how many messages fill a round at the rate of the last one.
func (r Run) next(row Row, c Contender, last Sample) int {
	round := max(c.Round, r.Round) / time.Duration(max(row.Finer, 1))
	// A round that was too short to tell grows by no more than this.
	grown := min(last.Rate()*round.Seconds(), 100*float64(last.Messages))
	return c.Count(int(grown))
}

// Count makes n a number of messages that the contender can move.
func (c Contender) Count(n int) int {
	unit := max(c.Unit, 1)
	if c.Most > 0 {
		n = min(n, c.Most)
	}
	return max((n+unit-1)/unit, 1) * unit
}
