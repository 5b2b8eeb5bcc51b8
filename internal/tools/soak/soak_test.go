package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlat(t *testing.T) {
	steady := make([]sample, 10)
	for i := range steady {
		steady[i] = sample{heap: 5 << 20, goroutines: 20}
	}
	spiky := append([]sample{}, steady...)
	spiky[8].heap *= 3 // one bad moment
	heap, goroutines := append([]sample{}, steady...), append([]sample{}, steady...)
	for i := range heap {
		heap[i].heap += i << 18
		goroutines[i].goroutines += i
	}
	for name, test := range map[string]struct {
		samples []sample
		says    string
	}{
		"steady": {steady, ""}, "spiky": {spiky, ""}, "heap": {heap, "heap has grown"}, "goroutines": {goroutines, "goroutines"},
	} {
		err := (&meter{test.samples}).flat()
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRun: both works, with small numbers.
func TestRun(t *testing.T) {
	b := memory.New()
	defer b.Close(context.Background())
	var out bytes.Buffer
	s := soak{out: &out}
	for name, do := range map[string]work{"messages": throughput, "subscriptions": comeAndGo} {
		if err := s.run(t.Context(), b, name, 1000, do); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 22 {
		t.Errorf("%d lines:\n%s", n, &out)
	}
	leak := func(context.Context, messaging.Broker, messaging.Address, int) error {
		kept = append(kept, make([]byte, 1<<20))
		return nil
	}
	if err := s.run(t.Context(), b, "leak", 10, leak); err == nil {
		t.Error("a leak of a megabyte each time is flat")
	}
}

var kept [][]byte
