package report

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// Report is all that a run has measured.
type Report struct {
	Machine Machine
	Date    time.Time
	Took    time.Duration
	Rounds  int
	Others  float64 // the share of the machine that other processes used
	Results []measure.Result
	Curves  []measure.CurveResult
	Latency measure.LatencyResult
	// LatencyWant is the least ratio to raw's latency at the lowest rate.
	LatencyWant float64
	// Distances are between the cores, at the begin of each row.
	Distances []time.Duration
	// WaitingBytes is the heap that a message of BodySize takes in the memory
	// broker while it waits.
	WaitingBytes float64
	BodySize     int
}

//go:embed page.md.tmpl
var pageText string

// Page writes the page, and beside it a folder of its name with the charts.
func (r Report) Page(path string) error {
	charts := strings.TrimSuffix(path, filepath.Ext(path))
	if err := r.draw(charts); err != nil {
		return fmt.Errorf("draw the charts: %w", err)
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"count": Count, "short": short, "ratio": ratio, "against": against, "spread": spread,
		"seconds": func(d time.Duration) string { return d.Round(time.Second).String() },
		"percent": percent, "least": slices.Min[[]time.Duration], "most": slices.Max[[]time.Duration],
		"prefix": strings.HasPrefix,
		"folder": func() string { return filepath.Base(charts) },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	var page strings.Builder
	if err := t.Execute(&page, r); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return os.WriteFile(path, []byte(page.String()), 0o644)
}

// Of are the results whose rows' names begin so.
func (r Report) Of(prefix string) (some []measure.Result) {
	for _, one := range r.Results {
		if strings.HasPrefix(one.Row.Name, prefix) {
			some = append(some, one)
		}
	}
	return some
}

// Messages is how many were counted in all.
func (r Report) Messages() float64 {
	results := slices.Clone(r.Results)
	for _, c := range r.Curves {
		results = append(results, c.Results...)
	}
	sum := 0
	for _, one := range results {
		for i := range one.Row.Contenders {
			sum += one.Messages(i)
		}
	}
	for _, ways := range r.Latency.Rounds {
		for _, w := range ways {
			sum += w.All.Count()
		}
	}
	return float64(sum)
}

func (r Report) draw(folder string) error {
	chart := func(name string) string { return filepath.Join(folder, name+".svg") }
	for _, prefix := range []string{"rabbitmq", "memory"} {
		if err := bars(chart(prefix), r.Of(prefix)); err != nil {
			return err
		}
	}
	for _, c := range r.Curves {
		if err := curve(chart(c.Curve.Name), c); err != nil {
			return err
		}
	}
	return r.drawLatency(chart("latency"))
}

func (r Report) drawLatency(path string) error {
	l := r.Latency
	var places []string
	for _, share := range l.Latency.Shares {
		places = append(places, percent(share))
	}
	var series []line
	for w, way := range l.Latency.Ways {
		for _, q := range quantiles {
			s := line{name: fmt.Sprintf("%s, p%v", way.Name, 100*q)}
			for share := range places {
				s.y = append(s.y, millis(quantile(l.Rounds[share][w], q)))
			}
			series = append(series, s)
		}
	}
	return lines(path, "Latency from due to handled", "share of the top rate", "milliseconds", places, series)
}

// quantile is the median of the rounds' where a round has enough messages to
// tell.
func quantile(r *measure.Rounds, q float64) time.Duration {
	if q > 0.99 {
		return r.All.Quantile(q)
	}
	return r.Quantile(q)
}

// quantiles are those of the latency that are shown.
var quantiles = []float64{0.5, 0.99, 0.999}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func spread(r measure.Result, i int) string {
	least, most := r.Spread(i)
	return Count(least) + " – " + Count(most)
}
