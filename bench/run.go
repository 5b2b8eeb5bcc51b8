package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
	"github.com/warrenmq/warren/bench/internal/report"
	"github.com/warrenmq/warren/bench/internal/table"
	"github.com/warrenmq/warren/internal/cli"
)

// latency is the name of that part, beside the names of rows and curves.
const latency = "latency"

// options say what is measured.
type options struct {
	quick   bool
	names   []string // beginnings; none is everything
	rounds  int
	round   time.Duration
	url     string
	page    string // a file
	profile string // a folder
}

func (o options) validate() error {
	if o.page != "" && (o.quick || len(o.names) > 0) {
		return cli.Usagef("--page is of everything: leave out --quick and --rows")
	}
	known := o.plan(table.Env{})
	if len(known.rows) == 0 && len(known.curves) == 0 && !known.latency {
		return cli.Usagef("--rows is %s; nothing has a name that begins so", strings.Join(o.names, ", "))
	}
	return nil
}

// plan is what is to be measured.
type plan struct {
	rows    []measure.Row
	curves  []measure.Curve
	latency bool
}

func (o options) plan(env table.Env) plan {
	if o.quick {
		return plan{rows: o.chosen(table.Quick(env))}
	}
	return plan{
		rows: o.chosen(table.Full(env)),
		curves: slices.DeleteFunc(table.Curves(env), func(c measure.Curve) bool {
			return !o.wants(c.Name)
		}),
		latency: o.wants(latency),
	}
}

func (o options) chosen(rows []measure.Row) []measure.Row {
	return slices.DeleteFunc(rows, func(r measure.Row) bool { return !o.wants(r.Name) })
}

func (o options) wants(name string) bool {
	return len(o.names) == 0 || slices.ContainsFunc(o.names, func(p string) bool { return strings.HasPrefix(name, p) })
}

// run measures, and prints as it goes; the ratios come last.
func (o options) run(ctx context.Context, out, progress io.Writer) error {
	b, err := startBroker(ctx, o.url)
	if err != nil {
		return err
	}
	defer b.stop()
	meter := measure.NewMeter(b.pid)
	rabbit, err := peers.ConnectRabbitMQ(b.url, meter)
	if err != nil {
		return err
	}
	defer rabbit.Close()

	r := report.Report{
		Machine: report.ThisMachine(rabbit.Version()), Date: time.Now(), Rounds: o.rounds,
		Distances: []time.Duration{measure.CoreDistance()},
		BodySize:  peers.BodySize, LatencyWant: table.WantLatency,
	}
	machine := measure.WatchMachine(meter)
	var ratios bytes.Buffer
	if err := o.measure(ctx, table.Env{RabbitMQ: rabbit}, meter, &r, out, &ratios, progress); err != nil {
		return err
	}
	r.Took, r.Others = time.Since(r.Date), machine.Others()
	if o.page != "" {
		if err := r.Page(o.page); err != nil {
			return err
		}
		fmt.Fprintf(out, "\nwritten: %s\n", o.page)
	}
	fmt.Fprintf(out, "\n%s messages counted, none lost, none twice; %s; other processes used %.0f %% of the machine; %v to %v between cores\n",
		report.Count(r.Messages()), r.Took.Round(time.Second), 100*r.Others, slices.Min(r.Distances), slices.Max(r.Distances))
	_, err = ratios.WriteTo(out)
	return err
}

// measure fills in the report.
func (o options) measure(ctx context.Context, env table.Env, meter *measure.Meter, r *report.Report, out, ratios, progress io.Writer) error {
	p := o.plan(env)
	say := func(what string) { fmt.Fprintf(progress, "%6.1f s  %s\n", time.Since(r.Date).Seconds(), what) }
	m := measure.Run{
		Rounds: o.rounds,
		Round:  o.round,
		Around: profiles{o.profile}.around,
		Progress: func(row measure.Row, round int) {
			if round == 0 {
				say(row.Name)
				r.Distances = append(r.Distances, measure.CoreDistance())
			}
		},
	}
	if o.profile == "" {
		m.Apart = apart(meter)
	}
	for _, row := range p.rows {
		one, err := m.Measure(ctx, row)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, one)
	}
	if err := errors.Join(report.Text(out, r.Results), report.Ratios(ratios, r.Results)); err != nil {
		return err
	}
	if p.latency {
		var err error
		if r.Latency, err = table.Latency(env, o.rounds).Measure(ctx, say); err != nil {
			return err
		}
		if err := errors.Join(report.LatencyText(out, r.Latency), report.LatencyRatios(ratios, r.Latency)); err != nil {
			return err
		}
	}
	m.Rounds = min(m.Rounds, table.CurveRounds)
	for _, c := range p.curves {
		one, err := m.MeasureCurve(ctx, c)
		if err != nil {
			return err
		}
		r.Curves = append(r.Curves, one)
		if err := report.CurveText(out, one); err != nil {
			return err
		}
	}
	if o.page == "" {
		return nil
	}
	var err error
	r.WaitingBytes, err = peers.WaitingBytes(ctx, 1_000_000, bytes.Repeat([]byte("x"), peers.BodySize))
	return err
}
