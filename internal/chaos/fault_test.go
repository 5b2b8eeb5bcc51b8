package chaos

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging"
)

// TestFaultsDiffer: names are for the command line and the table, and faults
// of one kind stand together.
func TestFaultsDiffer(t *testing.T) {
	seen, kinds := map[string]bool{}, map[int]bool{}
	last := 0
	for _, f := range Programme() {
		if seen[f.Name] || f.What == "" || f.Times < f.Short || f.Short < 1 {
			t.Errorf("%+v", f)
		}
		if f.Kind != last && kinds[f.Kind] {
			t.Errorf("%s is not next to the others of its kind", f.Name)
		}
		seen[f.Name], kinds[f.Kind], last = true, true, f.Kind
	}
	if len(kinds) != 10 {
		t.Errorf("%d kinds of faults", len(kinds))
	}
}

// TestRunFailsWhereItShould: a fault with something wrong does not hold.
func TestRunFailsWhereItShould(t *testing.T) {
	send := func(t *trial, times int) {
		msgs := t.ledger.next(t.ledger.publisher(), 1)
		t.ledger.book(msgs, nil)
		for range times {
			t.ledger.delivered(0, &messaging.Delivery{Message: *msgs[0]})
		}
	}
	reorder := func(t *trial) {
		msgs := t.ledger.next(t.ledger.publisher(), 2)
		t.ledger.book(msgs, nil)
		deliver(t.ledger, 0, msgs[1])
		deliver(t.ledger, 0, msgs[0])
	}
	for name, test := range map[string]struct {
		fault Fault
		held  bool
	}{
		"nothing happened": {Fault{inject: func(*trial) error { return nil }}, false},
		"well":             {Fault{inject: func(t *trial) error { send(t, 1); return nil }}, true},
		"twice":            {Fault{inject: func(t *trial) error { send(t, 2); return nil }}, true},
		"twice, once only": {Fault{Once: true, inject: func(t *trial) error { send(t, 2); return nil }}, false},
		"in order":         {Fault{Order: true, inject: func(t *trial) error { reorder(t); return nil }}, false},
		"in any order":     {Fault{inject: func(t *trial) error { reorder(t); return nil }}, true},
		"lost":             {Fault{inject: func(t *trial) error { send(t, 0); return nil }}, false},
		"an error":         {Fault{inject: func(t *trial) error { send(t, 1); return errors.New("no") }}, false},
		"unexpected":       {Fault{inject: func(t *trial) error { send(t, 1); t.wrong("no"); return nil }}, false},
		"late":             {Fault{inject: func(t *trial) error { send(t, 1); t.cleanup(func() { t.wrong("no") }); return nil }}, false},
	} {
		test.fault.Name = "x"
		r := Run(context.Background(), test.fault, 1, &Rig{})
		if r.Held() != test.held || strings.HasPrefix(Line(test.fault, r), "ok") != test.held {
			t.Errorf("%s: %s %v", name, Line(test.fault, r), r.Wrong)
		}
	}
}

func TestSummary(t *testing.T) {
	got := Summary([]Result{
		{Totals: Totals{Confirmed: 5, Lost: 1, Duplicated: 2}},
		{Totals: Totals{Confirmed: 7, Phantom: 3, Duplicated: 4}},
	})
	if want := "chaos: faults 2, confirmed 12, lost 1, phantom 3, duplicated 6"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	faults := []Fault{{Name: "cut", What: "a cut"}}
	results := map[string]Result{"cut": {Totals: Totals{Confirmed: 12, Delivered: 11}, Figures: []string{"back in 1s"}}}
	run := func() error { return WritePage(file, faults, results, func(Fault) int { return 9 }) }
	write("before\n" + pageBegin + "\nold\n" + pageEnd + "\nafter\n")
	for range 2 { // again over its own
		if err := run(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "\nafter\n", "| **cut**: a cut | 9 | duplicate, reorder | 12 | 11 | 0 | 0 | 0 | 0 | back in 1s |", "`chaos: faults 1, confirmed 12"} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Error("what was there before is still there")
	}
	write("no markers")
	if err := run(); err == nil {
		t.Error("a page without markers was written")
	}
}
