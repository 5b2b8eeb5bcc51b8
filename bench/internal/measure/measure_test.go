package measure_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/bench/internal/measure"
)

// work takes so long a message, and writes down each of its rounds.
func work(name string, each time.Duration, log *[]string, counts *[]int) measure.Contender {
	return measure.Contender{
		Name: name,
		Work: func(_ context.Context, n int) (measure.Cost, error) {
			*log = append(*log, name)
			*counts = append(*counts, n)
			return measure.Cost{Took: time.Duration(n) * each}, nil
		},
	}
}

func run(rounds int) measure.Run {
	return measure.Run{Rounds: rounds, Round: time.Second, Progress: func(measure.Row, int) {}}
}

func TestContendersTakeTurnsAndFillARound(t *testing.T) {
	var log []string
	var fast, slow []int
	row := measure.Row{Name: "row", Contenders: []measure.Contender{
		work("fast", time.Millisecond/10, &log, &fast),
		work("slow", time.Millisecond, &log, &slow),
	}}
	r, err := run(3).Measure(t.Context(), row)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"fast", "slow", "slow", "fast", "fast", "slow", "slow", "fast"}; !slices.Equal(log, want) {
		t.Errorf("the contenders worked in the order %v, want %v", log, want)
	}
	if want := []int{1000, 10000, 10000, 10000}; !slices.Equal(fast, want) {
		t.Errorf("the rounds of the fast one had %v messages, want %v", fast, want)
	}
	if got := r.Ratio(1); got < 9.99 || got > 10.01 {
		t.Errorf("the ratio is %v, want 10", got)
	}
	if got := r.Messages(0); got != 30000 {
		t.Errorf("%d messages were counted, want 30000: the first round does not count", got)
	}
}

func TestContendersOfARowMoveAlikeMany(t *testing.T) {
	var log []string
	var first, slow, own []int
	row := measure.Row{Alike: true, Contenders: []measure.Contender{
		work("first", time.Millisecond/10, &log, &first),
		work("slow", time.Millisecond, &log, &slow),
		work("own", time.Millisecond, &log, &own),
	}}
	row.Contenders[2].Own = true
	if _, err := run(2).Measure(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if want := []int{1000, 10000, 10000}; !slices.Equal(slow, want) || !slices.Equal(first, want) {
		t.Errorf("the first had rounds of %v messages and the slow one of %v, want %v of both", first, slow, want)
	}
	if want := []int{1000, 1000, 1000}; !slices.Equal(own, want) {
		t.Errorf("the one that goes its own way had rounds of %v messages, want %v", own, want)
	}
}

func TestFinerRoundsAreMoreAndShorter(t *testing.T) {
	var log []string
	var counts []int
	row := measure.Row{Finer: 3, Contenders: []measure.Contender{work("c", time.Millisecond, &log, &counts)}}
	r := run(2)
	last := 0
	r.Around = func(_ measure.Row, _ measure.Contender, isLast bool) (func() error, error) {
		if isLast {
			last = len(counts)
		}
		return func() error { return nil }, nil
	}
	if _, err := r.Measure(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if want := []int{1000, 333, 333, 333, 333, 333, 333}; !slices.Equal(counts, want) {
		t.Errorf("the rounds had %v messages, want %v", counts, want)
	}
	if last != 6 {
		t.Errorf("round %d was called the last, want 6", last)
	}
}

func TestALostMessageEndsTheRun(t *testing.T) {
	lost := errors.New("one is missing")
	row := measure.Row{Contenders: []measure.Contender{{
		Work: func(context.Context, int) (measure.Cost, error) { return measure.Cost{Took: 1}, lost },
	}}}
	if _, err := run(1).Measure(t.Context(), row); !errors.Is(err, lost) {
		t.Errorf("got %v, want %v", err, lost)
	}
}

func TestUnitAndMost(t *testing.T) {
	var log []string
	var counts []int
	c := work("c", time.Millisecond/10, &log, &counts)
	c.First, c.Unit, c.Most = 10, 64, 300
	if _, err := run(1).Measure(t.Context(), measure.Row{Contenders: []measure.Contender{c}}); err != nil {
		t.Fatal(err)
	}
	if want := []int{64, 320}; !slices.Equal(counts, want) {
		t.Errorf("the rounds had %v messages, want %v: whole units, and not much over the most", counts, want)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 4}, 4},
		{[]float64{8, 2, 4, 1}, 3},
	} {
		if got := measure.Median(c.values); got != c.want {
			t.Errorf("the median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	calls := measure.NewCalls()
	for i := range 1000 {
		calls.Record(time.Duration(i+1) * time.Millisecond)
	}
	if got := calls.Quantile(0.99); got < 985*time.Millisecond || got > 995*time.Millisecond {
		t.Errorf("p99 of 1 to 1000 ms is %v", got)
	}
}

func TestLatencyIsMeasuredAtSharesOfTheLowestTopRate(t *testing.T) {
	var rates []float64
	way := func(name string, tops ...int) measure.Way {
		return measure.Way{Name: name, Paced: func(_ context.Context, rate float64, length time.Duration) (*measure.Calls, error) {
			calls := measure.NewCalls()
			n := int(rate * length.Seconds())
			if rate == 0 {
				n, tops = tops[0], tops[1:]
			} else {
				rates = append(rates, rate)
			}
			for range n {
				calls.Record(time.Millisecond)
			}
			return calls, nil
		}}
	}
	l := measure.Latency{
		Shares: []float64{0.1, 0.5}, Rounds: 3, Round: time.Second,
		Ways: []measure.Way{way("fast", 9000, 8000, 7000), way("slow", 4000, 10, 5000)}, // 10 is a hiccup
	}
	r, err := l.Measure(t.Context(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if r.Top != 4000 {
		t.Errorf("the top rate is %v, want 4000: the median of the slower one", r.Top)
	}
	want := []float64{400, 400, 400, 400, 400, 400, 2000, 2000, 2000, 2000, 2000, 2000}
	if !slices.Equal(rates, want) {
		t.Errorf("messages were sent at the rates %v, want %v", rates, want)
	}
	if got := r.Rounds[0][1].Quantile(0.5); got != time.Millisecond {
		t.Errorf("p50 is %v, want 1ms", got)
	}
}

func TestApartIsUsedForWhatIsMarked(t *testing.T) {
	var log []string
	var counts []int
	here, there := work("here", time.Millisecond, &log, &counts), work("there", time.Millisecond, &log, &counts)
	there.Apart = true
	r := run(1)
	r.Apart = func(_ context.Context, row measure.Row, c measure.Contender, n int) (measure.Cost, error) {
		log = append(log, "apart: "+row.Name+", "+c.Name)
		return measure.Cost{Took: time.Duration(n) * time.Millisecond}, nil
	}
	if _, err := r.Measure(t.Context(), measure.Row{Name: "row", Contenders: []measure.Contender{here, there}}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"here", "apart: row, there", "apart: row, there", "here"}; !slices.Equal(log, want) {
		t.Errorf("the rounds were %q, want %q", log, want)
	}
}

func TestCoreDistance(t *testing.T) {
	if got := measure.CoreDistance(); runtime.GOMAXPROCS(0) > 1 && (got <= 0 || got > time.Millisecond) {
		t.Errorf("one core sees after %v what another has written", got)
	}
}
