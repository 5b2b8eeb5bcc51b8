// Command scaling measures how many messages pass through one queue and
// through several that share the work by key, on one RabbitMQ node and on a
// cluster of three, all on this machine, and writes what it saw into
// docs/scaling.md.
//
//	go run ./scaling -page ../docs/scaling.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/report"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

func main() {
	page := flag.String("page", "", "write the table into this `file`, between its markers")
	rounds := flag.Int("rounds", 5, "measure each way `N` times")
	round := flag.Duration("round", time.Second, "a round takes about `TIME`")
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *page, *rounds, *round)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

// places are the brokers, and the kinds of queues on them.
type place struct {
	name  string
	query string   // of warren's URL
	urls  []string // of the nodes
	nodes int
}

// shards are the numbers of queues that share the work.
var shards = []int{1, 2, 4, 8}

func run(ctx context.Context, page string, rounds int, round time.Duration) error {
	starting, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	single, err := rabbitmqtest.Start(starting, rabbitmqtest.Options{})
	if err != nil {
		return err
	}
	defer single.Close()
	cluster, err := rabbitmqtest.StartCluster(starting, 3)
	if err != nil {
		return err
	}
	defer cluster.Close()

	one, three := []string{single.URL()}, []string(nil)
	pids := make([]int, 0, 4)
	for _, n := range append(cluster.Nodes, single) {
		pid, err := n.PID()
		if err != nil {
			return err
		}
		pids = append(pids, pid)
		if n != single {
			three = append(three, n.URL())
		}
	}
	places := []place{
		{"classic, one node", "?queue_type=classic", one, 1},
		{"quorum, one node", "", one, 1},
		{"quorum, three nodes", "", three, 3},
	}
	meter := measure.NewMeter(pids...)
	version, err := single.Eval(`element(2, application:get_key(rabbit, vsn))`)
	if err != nil {
		return err
	}
	f := figures{
		places: places, shards: shards, rounds: rounds, date: time.Now(),
		machine: report.ThisMachine(strings.Trim(version, `"`)),
	}
	watch := measure.WatchMachine(meter)
	f.result, err = measure.Run{
		Rounds: rounds, Round: round,
		Progress: func(_ measure.Row, n int) { fmt.Fprintf(os.Stderr, "round %d of %d\n", n, rounds) },
	}.Measure(ctx, row(places, meter))
	if err != nil {
		return err
	}
	f.others = watch.Others()
	fmt.Print(f.text())
	if page == "" {
		return nil
	}
	return f.write(page)
}

// row has a contender for each place and number of shards.
func row(places []place, meter *measure.Meter) measure.Row {
	r := measure.Row{Name: "scaling", Title: "Messages that pass through"}
	for _, p := range places {
		for _, n := range shards {
			r.Contenders = append(r.Contenders, measure.Contender{
				Name: fmt.Sprintf("%s, %d queues", p.name, n),
				Unit: publishers * perCall, First: publishers * perCall,
				Work: func(ctx context.Context, messages int) (cost measure.Cost, err error) {
					t, err := open(ctx, p, n)
					if err != nil {
						return cost, err
					}
					cost, err = t.pass(ctx, meter, messages)
					return cost, errors.Join(err, t.close(context.WithoutCancel(ctx)))
				},
			})
		}
	}
	return r
}
