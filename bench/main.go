// Command bench compares warren with other ways to move messages, on RabbitMQ
// and in memory: rounds that alternate, medians, and the ratio to each peer.
//
//	go run . --quick
//	go run . --page ../docs/benchmarks.md
package main

import (
	"context"
	"os"
	"time"

	urfave "github.com/urfave/cli/v3"

	"github.com/warrenmq/warren/internal/cli"
)

const description = `Runs warren and its peers at the same work in turns, on a RabbitMQ node that it starts itself or
that --url names, and prints medians, spread and the ratio of warren to each. The last lines are
"ratio ROW PEER VALUE". It fails where a message was lost, not where a target is missed.

Examples:
  bench                                          everything, in less than ten minutes
  bench --quick                                  the rows for tuning, in a minute and a half
  bench --rows rabbitmq-consume --rounds 9       only what has a name that begins so
  bench --rows rabbitmq-publish-64 --rounds 1 --round 10s --profile /tmp/prof
                                                 where the time goes (go tool pprof -tagignore=phase=prepare)
  bench --page docs/benchmarks.md                everything, as a page with charts`

func main() {
	cli.Main(&urfave.Command{
		Name:        "bench",
		Usage:       "warren and its peers side by side",
		UsageText:   "bench [options]",
		Description: description,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "quick", Usage: "only the rows that take little time, and peers that have a target"},
			&urfave.StringSliceFlag{Name: "rows", Usage: "only rows, curves and latency whose names begin with `NAME`; may be given again"},
			&urfave.IntFlag{Name: "rounds", Value: 5, Validator: cli.AtLeast(1), Usage: "measure each contender `N` times"},
			&urfave.DurationFlag{Name: "round", Value: 300 * time.Millisecond, Validator: cli.AtLeast(time.Millisecond), Usage: "a round takes about `TIME`"},
			&urfave.StringFlag{Name: "url", Usage: "measure on the broker at `URL`, whose user may declare queues, instead of a node of its own"},
			&urfave.StringFlag{Name: "profile", TakesFile: true, Usage: "write a CPU profile of each contender's last round to `FOLDER`; all rounds are in this process then"},
			&urfave.StringFlag{Name: "page", TakesFile: true, Usage: "write a page to `FILE`, and charts to a folder beside it"},
		},
		Commands: []*urfave.Command{{
			Name: roundCommand, Hidden: true, Usage: "one round, apart", UsageText: "bench round ROW CONTENDER MESSAGES",
			Action: func(ctx context.Context, cmd *urfave.Command) error {
				return round(ctx, cmd.Args().Slice(), os.Stdout)
			},
		}},
		Action: func(ctx context.Context, cmd *urfave.Command) error {
			o := options{
				quick:   cmd.Bool("quick"),
				names:   cmd.StringSlice("rows"),
				rounds:  cmd.Int("rounds"),
				round:   cmd.Duration("round"),
				url:     cmd.String("url"),
				page:    cmd.String("page"),
				profile: cmd.String("profile"),
			}
			if err := o.validate(); err != nil {
				return err
			}
			if err := cli.Log(os.Stderr, cmd); err != nil { // warnings: there is no flag for more
				return err
			}
			return o.run(ctx, os.Stdout, os.Stderr)
		},
	})
}
