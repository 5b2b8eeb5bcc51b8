package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/warrenmq/warren/adapters/memory" // memory://
	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/report"
	"github.com/warrenmq/warren/pkg/messaging"
)

var inMemory = place{name: "memory", urls: []string{"memory://"}, nodes: 1}

// Every message passes once, in the order of its key, and every shard has some.
func TestPass(t *testing.T) {
	for _, n := range shards {
		trial, err := open(t.Context(), inMemory, n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trial.pass(t.Context(), measure.NewMeter(), 4*publishers*perCall); err != nil {
			t.Errorf("%d queues: %v", n, err)
		}
		for key := range trial.last {
			if last := trial.last[key].Load(); last != 4*publishers*perCall/keys {
				t.Errorf("%d queues: the last message of key %d is %d", n, key, last)
			}
		}
		if err := trial.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// What is out of order, or nobody's, is found.
func TestWrongOrder(t *testing.T) {
	for _, d := range []messaging.Delivery{
		{Message: messaging.Message{Key: "1", Body: []byte{7: 2}}},
		{Message: messaging.Message{Key: "x", Body: []byte{7: 1}}},
		{Message: messaging.Message{Key: "64", Body: []byte{7: 1}}},
		{Message: messaging.Message{Key: "1"}},
	} {
		if new(trial).count(&d) == nil {
			t.Errorf("%+v is taken for the first message of its key", d)
		}
	}
}

func TestPage(t *testing.T) {
	row := row([]place{inMemory}, nil)
	f := figures{machine: report.ThisMachine("4.0.5"), date: time.Now(), rounds: 1, places: []place{inMemory}, shards: shards, result: measure.Result{Row: row}}
	for i := range row.Contenders {
		cost := measure.Cost{Took: time.Second, Broker: time.Duration(i+1) * time.Second}
		f.result.Samples = append(f.result.Samples, []measure.Sample{{Messages: 10_000 * (i + 1), Cost: cost}})
	}
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n" + begin, end + "\nafter\n", "RabbitMQ 4.0.5", "| 8 | 40,000 |", "| 8 | 100 µs |",
		"one queue passed 10,000 messages a second, the most were 40,000 with 8", "take 1.0 cores",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if err := os.WriteFile(file, []byte("no markers"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.write(file) == nil {
		t.Error("a page without markers is written")
	}
}
