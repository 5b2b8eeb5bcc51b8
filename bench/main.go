// Command bench compares warren with other ways to move messages, on RabbitMQ
// and in memory: rounds that alternate, medians, and the ratio to each peer.
//
//	go run . --quick
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v3"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
	"github.com/warrenmq/warren/bench/internal/report"
	"github.com/warrenmq/warren/bench/internal/table"
	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

const description = `Runs warren and its peers at the same work in turns, on a RabbitMQ node that it starts itself or
that --url names, and prints medians, spread and the ratio of warren to each. The last lines are
"ratio ROW PEER VALUE". It fails where a message was lost, not where a target is missed.

Examples:
  bench --quick                                  the rows that have targets for their rate
  bench --rows rabbitmq-consume --rounds 9       only rows whose names begin so`

func main() {
	cli.Main(&urfave.Command{
		Name:        "bench",
		Usage:       "warren and its peers side by side",
		UsageText:   "bench [options]",
		Description: description,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "quick", Usage: "only the rows that take little time"},
			&urfave.StringSliceFlag{Name: "rows", Usage: "only rows whose names begin with `NAME`; may be given again"},
			&urfave.IntFlag{Name: "rounds", Value: 5, Validator: cli.AtLeast(1), Usage: "measure each peer `N` times"},
			&urfave.DurationFlag{Name: "round", Value: 300 * time.Millisecond, Validator: cli.AtLeast(time.Millisecond), Usage: "a round takes about `TIME`"},
			&urfave.StringFlag{Name: "url", Usage: "measure on the broker at `URL`, whose user may declare queues, instead of a node of its own"},
		},
		Action: run,
	})
}

func run(ctx context.Context, cmd *urfave.Command) error {
	url, pid, stop, err := broker(ctx, cmd.String("url"))
	if err != nil {
		return err
	}
	defer stop()
	env := table.Env{Meter: measure.NewMeter(pid)}
	if env.RabbitMQ, err = peers.ConnectRabbitMQ(url, env.Meter); err != nil {
		return err
	}
	defer env.RabbitMQ.Close()
	all := table.Full
	if cmd.Bool("quick") {
		all = table.Quick
	}
	rows, err := chosen(all(env), cmd.StringSlice("rows"))
	if err != nil {
		return err
	}
	results, err := measureAll(ctx, cmd, rows)
	if err != nil {
		return err
	}
	return errors.Join(report.Text(os.Stdout, results), report.Ratios(os.Stdout, results))
}

// broker is the one that was asked for, or a node that ends with stop and
// whose process is known.
func broker(ctx context.Context, named string) (url string, pid int, stop func(), err error) {
	if named != "" {
		return named, 0, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	node, err := rabbitmqtest.Start(ctx, rabbitmqtest.Options{})
	if errors.Is(err, rabbitmqtest.ErrNotInstalled) {
		return "", 0, nil, errors.New("RabbitMQ is not installed: run `make rabbitmq-install`, or name a broker with --url")
	}
	if err != nil {
		return "", 0, nil, err
	}
	if pid, err = node.PID(); err != nil {
		node.Close()
		return "", 0, nil, err
	}
	return node.URL(), pid, node.Close, nil
}

// chosen are the rows whose names begin with one of the prefixes.
func chosen(rows []measure.Row, prefixes []string) ([]measure.Row, error) {
	if len(prefixes) == 0 {
		return rows, nil
	}
	kept := slices.DeleteFunc(slices.Clone(rows), func(r measure.Row) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(r.Name, p) })
	})
	if len(kept) == 0 {
		return nil, cli.Usagef("--rows is %s; no row's name begins so", strings.Join(prefixes, ", "))
	}
	return kept, nil
}

func measureAll(ctx context.Context, cmd *urfave.Command, rows []measure.Row) ([]measure.Result, error) {
	m := measure.Run{
		Rounds: cmd.Int("rounds"),
		Round:  cmd.Duration("round"),
		Progress: func(row measure.Row, round int) {
			fmt.Fprintf(os.Stderr, "%s, round %d\n", row.Name, round)
		},
	}
	var results []measure.Result
	for _, row := range rows {
		r, err := m.Measure(ctx, row)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}
