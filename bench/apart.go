package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/table"
	"github.com/warrenmq/warren/internal/cli"
)

// roundCommand is the command with which this program runs a round apart, in a
// process of its own.
const roundCommand = "round"

// apart runs a round of a contender that needs no broker in a process of its
// own. What one leaves behind, as goroutines and heap that the runtime never
// gives back, would change the rates of all that come after it.
func apart(meter *measure.Meter) func(context.Context, measure.Row, measure.Contender, int) (measure.Cost, error) {
	return func(ctx context.Context, row measure.Row, c measure.Contender, n int) (cost measure.Cost, err error) {
		self, err := os.Executable()
		if err != nil {
			return cost, err
		}
		cmd := exec.CommandContext(ctx, self, roundCommand, row.Name, c.Name, strconv.Itoa(n))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return cost, fmt.Errorf("a round in a process of its own: %w", err)
		}
		meter.Ended(cmd.ProcessState)
		return cost, json.Unmarshal(out, &cost)
	}
}

// round runs one round after a tenth of it, which does not count, and writes
// what it cost.
func round(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 3 {
		return cli.Usagef("%s takes a row, a contender and how many messages", roundCommand)
	}
	c, err := find(args[0], args[1])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return cli.Usagef("%s is no number of messages", args[2])
	}
	if _, err := c.Work(ctx, c.Count(n/10)); err != nil {
		return err
	}
	runtime.GC()
	cost, err := c.Work(ctx, n)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(cost)
}

func find(row, contender string) (measure.Contender, error) {
	rows := table.Full(table.Env{})
	for _, c := range table.Curves(table.Env{}) {
		for _, p := range c.Points {
			rows = append(rows, p.Row)
		}
	}
	for _, r := range rows {
		i := slices.IndexFunc(r.Contenders, func(c measure.Contender) bool { return c.Name == contender })
		if r.Name == row && i >= 0 && r.Contenders[i].Apart {
			return r.Contenders[i], nil
		}
	}
	return measure.Contender{}, cli.Usagef("no contender %q of a row %q runs apart", contender, row)
}
