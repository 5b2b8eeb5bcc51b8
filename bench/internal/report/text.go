// Package report shows results: on the terminal, and as a page with charts.
package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// Text prints the results as a table, and whether the targets are met.
func Text(out io.Writer, results []measure.Result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range results {
		fmt.Fprintf(w, "\n%s: %s\n", r.Row.Name, r.Row.Title)
		fmt.Fprintln(w, "  who\tmessages/s\tslowest-fastest\tCPU each\tbroker CPU\tbusy\tratio\ttarget\tmet\tdoes less")
		for i, c := range r.Row.Contenders {
			least, most := r.Spread(i)
			fmt.Fprintf(w, "  %s\t%s\t%s-%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, Count(r.Rate(i)), Count(least), Count(most),
				short(r.ClientCPU(i)), short(r.BrokerCPU(i)), percent(r.Busy(i)), against(r, i), c.Less)
		}
	}
	return w.Flush()
}

// against is the cells about the ratio to a contender.
func against(r measure.Result, i int) string {
	want := r.Row.Contenders[i].Want
	switch {
	case i == 0:
		return "\t\t"
	case want == 0:
		return fmt.Sprintf("%s\t\t", ratio(r.Ratio(i)))
	case r.Met(i):
		return fmt.Sprintf("%s\t%v\tyes", ratio(r.Ratio(i)), want)
	default:
		return fmt.Sprintf("%s\t%v\tNO", ratio(r.Ratio(i)), want)
	}
}

// Ratios prints a line for each ratio that has a target: the word ratio, the
// row, the peer and the value.
func Ratios(out io.Writer, results []measure.Result) error {
	for _, r := range results {
		for i, c := range r.Row.Contenders {
			if i == 0 || c.Want == 0 {
				continue
			}
			if _, err := fmt.Fprintf(out, "ratio %s %s %s\n", r.Row.Name, c.Name, ratio(r.Ratio(i))); err != nil {
				return err
			}
		}
	}
	return nil
}

// percent is a share, from 0 to 1.
func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// short is a short time.
func short(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	if d < time.Microsecond {
		return strconv.Itoa(int(d)) + " ns"
	}
	if d >= time.Millisecond {
		return strconv.FormatFloat(millis(d), 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Microsecond), 'f', 1, 64) + " µs"
}

func ratio(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// Count writes a number of messages with three digits that count, and commas.
func Count(v float64) string {
	if v >= 1000 {
		unit := math.Pow(10, math.Floor(math.Log10(v))-2)
		v = math.Round(v/unit) * unit
	}
	digits := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
