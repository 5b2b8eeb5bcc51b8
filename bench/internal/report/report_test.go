package report_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/report"
)

// result has one round of each contender, at these rates.
func result(name string, want float64, rates ...int) measure.Result {
	names := []string{"warren", "raw", "watermill-amqp"}
	r := measure.Result{Row: measure.Row{Name: name, Title: "some work"}}
	for i, rate := range rates {
		c := measure.Contender{Name: names[i], Less: "keeps nothing"}
		if i > 0 {
			c.Want = want
		}
		r.Row.Contenders = append(r.Row.Contenders, c)
		r.Samples = append(r.Samples, []measure.Sample{{Messages: rate, Cost: measure.Cost{Took: time.Second}}})
	}
	return r
}

func TestRatioLines(t *testing.T) {
	var out strings.Builder
	results := []measure.Result{result("rabbitmq-publish-64", 1.3, 1500, 1000, 2000), result("no-target", 0, 5, 4)}
	if err := report.Ratios(&out, results); err != nil {
		t.Fatal(err)
	}
	const want = "ratio rabbitmq-publish-64 raw 1.50\nratio rabbitmq-publish-64 watermill-amqp 0.75\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestTextSaysWhatIsMetAndWhatIsLess(t *testing.T) {
	var out strings.Builder
	if err := report.Text(&out, []measure.Result{result("row", 1.3, 1500, 1000, 2000)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`raw +1,000 .* 1.50 +1.3 +yes +keeps nothing`,
		`watermill-amqp +2,000 .* 0.75 +1.3 +NO +keeps nothing`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("printed\n%s\nwant a line like %q", out.String(), want)
		}
	}
}

func TestCount(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 87.6: "88", 999: "999", 1234: "1,230", 23_651: "23,700", 16_149_000: "16,100,000"} {
		if got := report.Count(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := sample().Page(path); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"RabbitMQ 3.10.8", "| raw | 1,000 |", "1.3: met", "1.3: **not met**", "keeps nothing", "| 256 B | 1,500 | 1,000 |"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	// Every picture of the page is there.
	for _, picture := range regexp.MustCompile(`!\[.*\]\((.*)\)`).FindAllStringSubmatch(string(page), -1) {
		svg, err := os.ReadFile(filepath.Join(filepath.Dir(path), picture[1]))
		if err != nil || !strings.Contains(string(svg), "<svg") {
			t.Errorf("%s is no picture: %v", picture[1], err)
		}
	}
}

func sample() report.Report {
	growth := result("size, 256 B", 0, 1500, 1000)
	calls := measure.NewCalls()
	calls.Record(time.Millisecond)
	rounds := &measure.Rounds{All: calls, Each: []*measure.Calls{calls}}
	return report.Report{
		Machine: report.ThisMachine("3.10.8"), Rounds: 1, BodySize: 256,
		Results: []measure.Result{result("rabbitmq-x", 1.3, 1500, 1000, 2000), result("memory-x", 1.3, 1500, 1000)},
		Curves: []measure.CurveResult{{
			Curve:   measure.Curve{Name: "size", Points: []measure.Point{{Label: "256 B", Row: growth.Row}, {Label: "1 KiB", Row: growth.Row}}},
			Results: []measure.Result{growth, growth},
		}},
		Latency: measure.LatencyResult{
			Latency: measure.Latency{Shares: []float64{0.1, 0.9}, Ways: []measure.Way{{Name: "warren"}, {Name: "raw"}}},
			Rounds:  [][]*measure.Rounds{{rounds, rounds}, {rounds, rounds}},
		},
	}
}
