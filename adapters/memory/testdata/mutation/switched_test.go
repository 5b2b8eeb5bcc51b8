package memory_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

// TestSwitchedOff is run by TestEveryDecisionIsHeldByACase.
func TestSwitchedOff(t *testing.T) {
	for _, d := range decisions {
		t.Run(strings.ReplaceAll(d.what, " ", "_"), func(t *testing.T) {
			memory.Off = d.what
			defer func() { memory.Off = "" }()
			err := fails(t, d.caught)
			if err == nil {
				t.Fatalf("switched off, %s passes; it is caught by %q", d.caught, catching(t))
			}
			t.Logf("caught by %s: %v", d.caught, err)
		})
	}
}

// fails returns what is wrong according to a case. That everything waits for
// everything makes the bubble panic.
func fails(t *testing.T, name string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	synctest.Test(t, func(*testing.T) { err = messagingtest.Check(harness(), name) })
	return err
}

// catching asks all cases.
func catching(t *testing.T) []string {
	var names []string
	for _, c := range messagingtest.Cases() {
		if fails(t, c.Name) != nil {
			names = append(names, c.Name)
		}
	}
	return names
}
