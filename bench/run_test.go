package main

import (
	"strings"
	"testing"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/bench/internal/table"
)

func TestNamesChoose(t *testing.T) {
	p := options{names: []string{"rabbitmq-consume", "size"}}.plan(table.Env{})
	if len(p.rows) != 2 || p.rows[0].Name != "rabbitmq-consume-1" || p.rows[1].Name != "rabbitmq-consume-8" {
		t.Errorf("the rows are %v, want both of rabbitmq-consume", p.rows)
	}
	if len(p.curves) != 1 || p.curves[0].Name != "size" {
		t.Errorf("the curves are %v, want size", p.curves)
	}
	if p.latency {
		t.Error("latency is measured, and was not asked for")
	}
}

func TestEverythingByDefault(t *testing.T) {
	p := options{}.plan(table.Env{})
	if len(p.rows) != len(table.Full(table.Env{})) || len(p.curves) != len(table.Curves(table.Env{})) || !p.latency {
		t.Errorf("got %d rows, %d curves, latency %v, want everything", len(p.rows), len(p.curves), p.latency)
	}
}

func TestValidate(t *testing.T) {
	for want, o := range map[string]options{
		"no":            {names: []string{"nothing-of-the-kind"}},
		"leave out":     {page: "p.md", quick: true},
		"begins so":     {quick: true, names: []string{"size"}},
		"of everything": {page: "p.md", names: []string{"size"}},
	} {
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error with %q", o, err, want)
		}
	}
	if err := (options{quick: true, names: []string{"memory"}}).validate(); err != nil {
		t.Error(err)
	}
}
