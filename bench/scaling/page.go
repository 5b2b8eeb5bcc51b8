package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
	"github.com/warrenmq/warren/bench/internal/report"
)

// The markers in the page between which a run writes.
const (
	begin = "<!-- scaling: what follows is written by make scaling -->"
	end   = "<!-- scaling: end -->"
)

// figures are what a run saw.
type figures struct {
	machine report.Machine
	date    time.Time
	rounds  int
	others  float64
	places  []place
	shards  []int
	result  measure.Result // place by place, in each by shards
}

// contender is the number of a place's, with so many queues as shards[shard].
func (f figures) contender(place, shard int) int { return place*len(f.shards) + shard }

// text is the tables, and the arithmetic that follows from them.
func (f figures) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s: %s, %d cores, which the nodes and the client share; %s; %s. Medians of %d rounds in turns; "+
		"other processes used %.0f %% of the machine. Bodies of %d bytes, %d publishers, %d messages a call, %d keys, a subscription of %d workers for each queue.\n\n",
		f.date.Format("2 January 2006"), f.machine.CPU, f.machine.Cores, f.machine.Versions[1], f.machine.Versions[0], f.rounds,
		100*f.others, peers.BodySize, publishers, perCall, keys, workers)
	f.table(&b, "messages a second, in and out", func(c int) string { return report.Count(f.result.Rate(c)) })
	f.table(&b, "the nodes' processor time for a message", func(c int) string { return micro(f.result.BrokerCPU(c)) })
	f.table(&b, "the client's", func(c int) string { return micro(f.result.ClientCPU(c)) })
	for i, p := range f.places {
		one, best := f.contender(i, 0), f.contender(i, 0)
		for s := range f.shards {
			if c := f.contender(i, s); f.result.Rate(c) > f.result.Rate(best) {
				best = c
			}
		}
		cost := f.result.BrokerCPU(one)
		fmt.Fprintf(&b, "- **%s**: one queue passed %s messages a second, the most were %s with %d. With %s of processor time a message, "+
			"10,000 messages a second take %.1f cores of the broker's%s.\n",
			p.name, report.Count(f.result.Rate(one)), report.Count(f.result.Rate(best)), f.shards[best%len(f.shards)], micro(cost), 1e4*cost.Seconds(), each(p, cost))
	}
	b.WriteString("\n")
	return b.String()
}

// each says what that is on every node, where there are several.
func each(p place, cost time.Duration) string {
	if p.nodes == 1 {
		return ""
	}
	return fmt.Sprintf(", %.1f on each node", 1e4*cost.Seconds()/float64(p.nodes))
}

func micro(d time.Duration) string { return fmt.Sprintf("%.0f µs", math.Round(float64(d)/1e3)) }

// table has the numbers of queues down, and the places across.
func (f figures) table(b *strings.Builder, title string, cell func(contender int) string) {
	fmt.Fprintf(b, "| %s; queues |", title)
	for _, p := range f.places {
		fmt.Fprintf(b, " %s |", p.name)
	}
	b.WriteString("\n|--:|" + strings.Repeat("--:|", len(f.places)) + "\n")
	for s, n := range f.shards {
		fmt.Fprintf(b, "| %d |", n)
		for i := range f.places {
			fmt.Fprintf(b, " %s |", cell(f.contender(i, s)))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// write puts the text between the markers of a page.
func (f figures) write(file string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, found2 := bytes.Cut(rest, []byte(end))
	if !found || !found2 {
		return errors.New(file + " lacks the markers for the figures: " + begin + " and " + end)
	}
	return os.WriteFile(file, []byte(string(before)+begin+"\n"+f.text()+end+string(after)), 0o644)
}
