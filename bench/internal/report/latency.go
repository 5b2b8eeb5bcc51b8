package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// LatencyText prints the latencies as a table.
func LatencyText(out io.Writer, l measure.LatencyResult) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nlatency: end to end, top rate %s messages/s\n", Count(l.Top))
	fmt.Fprintln(w, "  rate\twho\tp50\tp99\tp99.9")
	for s, share := range l.Latency.Shares {
		for i, way := range l.Latency.Ways {
			r := l.Rounds[s][i]
			fmt.Fprintf(w, "  %.0f %%\t%s\t%s\t%s\t%s\n", 100*share, way.Name,
				short(r.Quantile(0.5)), short(r.Quantile(0.99)), short(r.All.Quantile(0.999)))
		}
	}
	return w.Flush()
}

// LatencyRatios prints a line for p50 and p99 at the lowest rate. As in all
// such lines more is better: it is the other's latency by the first one's.
func LatencyRatios(out io.Writer, l measure.LatencyResult) error {
	at := l.Rounds[0]
	for i, way := range l.Latency.Ways[1:] {
		for _, q := range []float64{0.5, 0.99} {
			v := float64(at[i+1].Quantile(q)) / float64(at[0].Quantile(q))
			if _, err := fmt.Fprintf(out, "ratio rabbitmq-latency-%.0f-p%.0f %s %s\n", 100*l.Latency.Shares[0], 100*q, way.Name, ratio(v)); err != nil {
				return err
			}
		}
	}
	return nil
}

// CurveText prints a curve's rates as a table.
func CurveText(out io.Writer, c measure.CurveResult) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s: %s\n  %s", c.Curve.Name, c.Curve.Title, c.Curve.X)
	for _, contender := range c.Curve.Points[0].Row.Contenders {
		fmt.Fprintf(w, "\t%s", contender.Name)
	}
	for p, r := range c.Results {
		fmt.Fprintf(w, "\n  %s", c.Curve.Points[p].Label)
		for i := range r.Row.Contenders {
			fmt.Fprintf(w, "\t%s", Count(r.Rate(i)))
		}
	}
	fmt.Fprintln(w)
	return w.Flush()
}
