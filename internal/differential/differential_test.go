package differential

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestDifferentialQuorum(t *testing.T)  { t.Parallel(); random(t, true) }
func TestDifferentialClassic(t *testing.T) { t.Parallel(); random(t, false) }

// random compares the brokers on random programs.
func random(t *testing.T, quorum bool) {
	c := newComparison(t, quorum)
	rapid.Check(t, func(rt *rapid.T) {
		p := programs(quorum).Draw(rt, "program")
		if difference := c.compare(p); difference != "" {
			rt.Log(difference)
			rt.Fatal("the brokers differ") // the same text each time, so that rapid shrinks what is not quite the same
		}
	})
	t.Log(c.counted())
}

// comparison runs programs on memory and on a Broker of RabbitMQ's.
type comparison struct {
	t      *testing.T
	quorum bool
	broker messaging.Broker // not memory
	fence  *fence           // of broker

	patience                     time.Duration
	programs, deliveries, depths int
	slow                         int            // programs that the machine was too busy for
	operations                   map[string]int // by name
}

var quiet = slog.New(slog.DiscardHandler)

func newComparison(t *testing.T, quorum bool) *comparison {
	queueType := "classic"
	if quorum {
		queueType = "quorum"
	}
	url := fmt.Sprintf("%s?queue_type=%s&max_message_size=%d&reject_timeout=100ms", rabbitmqtest.URL(t), queueType, sizeLimit)
	b, err := rabbitmq.Open(t.Context(), url, rabbitmq.WithLogger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return &comparison{t: t, quorum: quorum, broker: b, fence: newFence(t, b), patience: patience, operations: map[string]int{}}
}

// prefixes makes the names of programs differ within the process; the ID makes
// them differ from those of other processes.
var (
	prefixes atomic.Uint64
	process  = messaging.NewID()
)

// compare runs p on both, and returns what differs.
func (c *comparison) compare(p program) string {
	whole, want := onMemory(c.t, p)
	rel, got, complete := c.onRabbitMQ(whole, want, lateFirst)
	if !complete {
		rel, got, complete = c.onRabbitMQ(whole, want, lateThen)
	}
	if !complete { // so what its last step shows says nothing
		c.slow++
		got = got[:len(got)-1]
	}

	c.programs++
	for i, o := range got {
		if what := rel.differ(want[i], o); what != "" && i == len(got)-1 && complete {
			return c.failed(fmt.Sprintf("%s\nafter step %d, %s, %s differ. Memory:\n%sRabbitMQ:\n%s",
				whole, i, literal(reflect.ValueOf(whole[i])), what, want[i], o))
		}
		c.operations[typeName(reflect.ValueOf(whole[i]))]++
		c.deliveries += len(o.Seen)
		c.depths += len(o.Depths)
	}
	return ""
}

// On RabbitMQ, time really passes: messages are late by so much, first. A busy
// machine may be later itself; then there is another try, with more time than
// a difference takes to be noticed.
const (
	lateFirst = 1500 * time.Millisecond
	lateThen  = patience + 2*time.Second
)

// onRabbitMQ runs p. It is not complete where its last step took so long that
// what was to come at a later one may have come already.
func (c *comparison) onRabbitMQ(p program, want []observation, late time.Duration) (rel *relation, got []observation, complete bool) {
	r := newRun(c.t.Context(), c.broker, fmt.Sprintf("differential.%s.%d.", process, prefixes.Add(1)), c.fence, late)
	defer r.clean()
	rel = &relation{newPlan(p, c.quorum)}
	got = r.follow(p, rel, want, c.patience)
	return rel, got, !r.tooSlow()
}

// failed shows the first difference at once: rapid shows only what it can
// reproduce.
func (c *comparison) failed(difference string) string {
	if c.patience != hurry {
		c.patience = hurry
		c.t.Log("first, before shrinking: " + difference)
	}
	return difference
}

// counted is what the log says in the end.
func (c *comparison) counted() string {
	sum, parts := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(c.operations)) {
		sum += c.operations[name]
		parts = append(parts, fmt.Sprintf("%d %s", c.operations[name], name))
	}
	return fmt.Sprintf("compared %d operations of %d programs (%s), with %d deliveries and %d counts of queues; %d programs were not finished, the machine being too busy",
		sum, c.programs, strings.Join(parts, ", "), c.deliveries, c.depths, c.slow)
}

// onMemory runs p on a memory broker, and returns the whole of what ran.
func onMemory(t *testing.T, p program) (whole program, seen []observation) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.WithMaxMessageSize(sizeLimit), memory.WithLogger(quiet))
		r := newRun(t.Context(), b, "differential.", newFence(t, b), time.Hour)
		whole, seen = r.lead(p)
		r.clean()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return whole, seen
}
