package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Fault is one row of the programme.
type Fault struct {
	Name  string // one word, for the command line
	What  string // what is done
	Kind  int    // faults of one kind share their nodes and run one after another
	Times int    // how often it is done in a full run
	Short int    // and in a short one
	Once  bool   // a message may not be delivered twice either
	Order bool   // nor after a later one: nothing goes back to the queue or is sent again
	Apart bool   // in a process of its own, beside the others: it takes long and measures memory

	inject func(*trial) error
}

// May says what the fault may do to a message.
func (f Fault) May() string {
	switch {
	case f.Order:
		return "nothing"
	case f.Once:
		return "reorder"
	}
	return "duplicate, reorder"
}

// Result is what the books of a fault say when it is over.
type Result struct {
	Name string
	Totals
	Took    time.Duration
	Figures []string // what was measured besides
	Wrong   []string // what was expected and did not happen
}

// Held says whether everything was as the fault may have it.
func (r Result) Held() bool { return r.Lost == 0 && r.Phantom == 0 && len(r.Wrong) == 0 }

// Line is the result in one line.
func Line(f Fault, r Result) string {
	verdict := "ok"
	if !r.Held() {
		verdict = "FAILED"
	}
	line := fmt.Sprintf("%-6s %-18s %s; may %s; confirmed %d, delivered %d, lost %d, phantom %d, duplicated %d, out of order %d; %s",
		verdict, f.Name, f.What, f.May(), r.Confirmed, r.Delivered, r.Lost, r.Phantom, r.Duplicated, r.Disordered, r.Took.Round(100*time.Millisecond))
	if len(r.Figures) > 0 {
		line += "; " + strings.Join(r.Figures, ", ")
	}
	return line
}

// Summary is the last line of a run.
func Summary(all []Result) string {
	var sum Totals
	for _, r := range all {
		sum.Confirmed += r.Confirmed
		sum.Lost += r.Lost
		sum.Phantom += r.Phantom
		sum.Duplicated += r.Duplicated
	}
	return fmt.Sprintf("chaos: faults %d, confirmed %d, lost %d, phantom %d, duplicated %d",
		len(all), sum.Confirmed, sum.Lost, sum.Phantom, sum.Duplicated)
}

// faultTimeout is how long a fault may take that is not apart.
const faultTimeout = 6 * time.Minute

// Run lets one fault happen, times times, and returns what the books say. rig
// is what the faults of its kind share.
func Run(ctx context.Context, f Fault, times int, rig *Rig) Result {
	if !f.Apart {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, faultTimeout, fmt.Errorf("%s was not over after %s", f.Name, faultTimeout))
		defer cancel()
	}
	t := newTrial(ctx, f, times, rig)
	began := time.Now()
	if err := f.inject(t); err != nil {
		t.wrong("%v", err)
	}
	t.cleanUp()
	return t.result(time.Since(began))
}
