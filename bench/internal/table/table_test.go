package table_test

import (
	"maps"
	"slices"
	"testing"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/table"
)

// wanted are the ratios that warren is held to: a row's peers, and the target
// of each.
var wanted = map[string]map[string]float64{
	"rabbitmq-publish-batch": {"raw": 0.95, "raw-plain": 0, "watermill-amqp": 10},
	"rabbitmq-publish-64":    {"raw": 1.3, "raw-plain": 0, "watermill-amqp": 1.3},
	"rabbitmq-publish-1":     {"raw": 0.95, "raw-plain": 0},
	"rabbitmq-consume-1":     {"raw-ack-each": 1.6, "raw-ack-multiple": 0.95},
	"rabbitmq-consume-8":     {"raw": 1.5},
	"memory-1-1":             {"gochannel": 10, "mempubsub": 30, "nats": 2},
	"memory-4-4":             {"mempubsub": 30, "nats": 2},
}

func TestQuickHasTheWantedRatiosAndNothingElse(t *testing.T) {
	got := map[string]map[string]float64{}
	for _, row := range table.Quick(table.Env{}) {
		got[row.Name] = map[string]float64{}
		for _, c := range row.Contenders[1:] {
			got[row.Name][c.Name] = c.Want
		}
	}
	if !maps.EqualFunc(got, wanted, maps.Equal) {
		t.Errorf("quick rows have the targets %v, want %v", got, wanted)
	}
}

// peersOf are all contenders of the rows that are compared with others.
var peersOf = map[string][]string{
	"rabbitmq-publish-batch": {"raw", "raw-plain", "raw-same-message", "raw-window", "wire", "watermill-amqp"},
	"rabbitmq-publish-64":    {"raw", "raw-plain", "raw-same-message", "raw-shared", "raw-shared-same-message", "wire", "watermill-amqp", "wagslane-go-rabbitmq", "rabbitpubsub"},
	"rabbitmq-publish-1":     {"raw", "raw-plain", "raw-same-message", "wire", "watermill-amqp", "watermill-amqp-default", "wagslane-go-rabbitmq", "rabbitpubsub"},
	"rabbitmq-consume-1":     {"raw-ack-each", "raw-ack-multiple", "watermill-amqp", "wagslane-go-rabbitmq", "rabbitpubsub"},
	"rabbitmq-consume-8":     {"raw", "watermill-amqp", "wagslane-go-rabbitmq", "rabbitpubsub"},
	"memory-1-1":             {"gochannel", "mempubsub", "nats", "copying-queue", "mutex-queue", "channel"},
	"memory-4-4":             {"mempubsub", "nats", "copying-queue", "mutex-queue", "channel"},
}

func TestFullHasAllPeers(t *testing.T) {
	rows := table.Full(table.Env{})
	for name, want := range peersOf {
		i := slices.IndexFunc(rows, func(r measure.Row) bool { return r.Name == name })
		if i < 0 {
			t.Errorf("there is no row %s", name)
			continue
		}
		if got := names(rows[i].Contenders[1:]); !slices.Equal(got, want) {
			t.Errorf("row %s has the peers %q, want %q", name, got, want)
		}
	}
}

func TestRowsAreWellFormed(t *testing.T) {
	rows := table.Full(table.Env{})
	for _, c := range table.Curves(table.Env{}) {
		for _, p := range c.Points {
			if got, want := names(p.Row.Contenders), names(c.Points[0].Row.Contenders); !slices.Equal(got, want) {
				t.Errorf("curve %s has the contenders %q at %s, and %q at first", c.Name, got, p.Label, want)
			}
			rows = append(rows, p.Row)
		}
	}
	seen := map[string]bool{}
	for _, row := range rows {
		if seen[row.Name] {
			t.Errorf("row %s is there twice", row.Name)
		}
		seen[row.Name] = true
		if row.Contenders[0].Want != 0 {
			t.Errorf("row %s: its first contender has a target against itself", row.Name)
		}
		for _, c := range row.Contenders {
			if c.Work == nil {
				t.Errorf("row %s: %s has no work", row.Name, c.Name)
			}
		}
	}
}

func names(contenders []measure.Contender) (all []string) {
	for _, c := range contenders {
		all = append(all, c.Name)
	}
	return all
}
