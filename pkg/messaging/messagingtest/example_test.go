package messagingtest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

// exampleHarness is what an adapter gives to the suite: a Broker for each case, and
// the faults that it can be put through. What is not there is declared Missing.
var exampleHarness = messagingtest.Harness{
	Open: func(context.Context) (*messagingtest.Rig, error) {
		b := memory.New()
		return &messagingtest.Rig{
			Broker: b, Disconnect: b.Disconnect, Reconnect: b.Reconnect,
		}, nil
	},
	Missing: map[string]string{"C9": "the example has no foreign producer"},
}

// Only a broker in the process can run its cases in a bubble of synctest;
// there, an hour of back-off takes none. Others leave Around out.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestConformance(t *testing.T)
		h := exampleHarness
		h.Around = func(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) }
		messagingtest.Run(t, h)
	}
	// Output:
}

// One case, without a test around it.
func ExampleCheck() {
	fmt.Println(messagingtest.Check(exampleHarness, "P4_unroutable"))
	// Output: <nil>
}

// Every rule that has to do with stopping.
func ExampleCases() {
	rules := map[string]int{}
	for _, c := range messagingtest.Cases() {
		if strings.HasPrefix(c.Rule, "S") {
			rules[c.Rule]++
		}
	}
	fmt.Println(len(rules), "rules, each with a case:", rules["S1"] > 0)
	// Output: 5 rules, each with a case: true
}
