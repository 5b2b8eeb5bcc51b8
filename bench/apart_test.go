package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/warrenmq/warren/bench/internal/measure"
)

func TestRoundWritesItsCost(t *testing.T) {
	var out bytes.Buffer
	if err := round(t.Context(), []string{"memory-1-1", "warren", "1000"}, &out); err != nil {
		t.Fatal(err)
	}
	var cost measure.Cost
	if err := json.Unmarshal(out.Bytes(), &cost); err != nil || cost.Took <= 0 {
		t.Errorf("got %s (%v), want what the round took", &out, err)
	}
}

func TestRoundKnowsWhatRunsApart(t *testing.T) {
	for want, args := range map[string][]string{
		"takes a row":  {"memory-1-1"},
		"runs apart":   {"rabbitmq-publish-1", "warren", "10"},
		"no contender": {"memory-1-1", "nobody", "10"},
		"no number":    {"memory-1-1", "warren", "many"},
	} {
		if err := round(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", args, err, want)
		}
	}
}
