// Package messagingtest is the contract of package messaging as something that
// runs: one named case for every rule, which any adapter must pass.
//
//	func TestConformance(t *testing.T) {
//		messagingtest.Run(t, messagingtest.Harness{
//			Open: func(ctx context.Context) (*messagingtest.Rig, error) {
//				b := memory.New()
//				return &messagingtest.Rig{Broker: b, Disconnect: b.Disconnect, ...}, nil
//			},
//		})
//	}
//
// Cases are named after the rules: P for publishing, C for consuming, T for
// topics, S for stopping, H for Health; those of the properties that a queue is declared with,
// in [messaging.QueueSpec], are named Declare. A case waits for events and never
// sleeps to see what happens, so that a slow machine makes it slow and not
// wrong.
package messagingtest

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Harness is what an adapter gives to the suite.
type Harness struct {
	// Open returns a new Broker with its faults, for one case. The suite
	// closes the Broker. Brokers may share queues: each case uses names of
	// its own.
	Open func(ctx context.Context) (*Rig, error)
	// Accuracy is how late a message may be after its Delay or a retry's wait.
	// Defaults to 100 ms.
	Accuracy time.Duration
	// Slack is what the machine may add where a rule limits the time of a
	// call. Defaults to 0, which is right in a bubble of testing/synctest.
	Slack time.Duration
	// Around, where not nil, runs each case, for example in a bubble of
	// testing/synctest. Defaults to calling f.
	Around func(t *testing.T, f func(t *testing.T))
	// Missing names the rules, or single cases, that the adapter cannot keep,
	// each with the reason. Their cases do not run: they pass, and log
	// "missing: " and the reason. A skip would look like a test that was
	// forgotten.
	Missing map[string]string
}

// Rig is a Broker, and the faults that a case may ask for.
type Rig struct {
	Broker messaging.Broker
	// Disconnect takes the broker away from all connections of Broker;
	// Reconnect lets it be reached again.
	Disconnect, Reconnect func()
	// HoldConfirms keeps back the broker's confirmations of what it has
	// stored; ReleaseConfirms ends that.
	HoldConfirms, ReleaseConfirms func()
	// Block makes the broker refuse what anybody publishes, as an alarm for
	// memory does; Unblock ends that. Their cases run alone.
	Block, Unblock func()
	// CancelConsumers makes the broker cancel the consumers of a queue.
	CancelConsumers func(q messaging.Address)
	// Foreign puts a message into the queue that no warren Publish made: no
	// ID, headers that are no strings, any bytes in the body.
	Foreign func(ctx context.Context, queue string) error
	// MaxSize is the size limit of a message's body, in bytes.
	MaxSize int
	// Close, where not nil, is called after Broker was closed.
	Close func()
}

// Case is one rule, or one side of it, as something that runs.
type Case struct {
	Rule  string // "P1"; "Declare" for a sentence of messaging.QueueSpec
	Name  string // "P1_stored"
	Text  string // the rule's sentence
	alone bool   // not in parallel, because its fault is everybody's
	run   func(e *env) error
}

// Cases returns all cases in the order of the rules.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{publishing, consuming, verdicts, pulling, timing, topics, edges, stopping, watching, declaring} {
		all = append(all, part...)
	}
	return all
}

// Run checks an adapter against all cases, each as a parallel subtest.
func Run(t *testing.T, h Harness) {
	around := h.Around
	if around == nil {
		around = func(t *testing.T, f func(*testing.T)) { f(t) }
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if why := cmp.Or(h.Missing[c.Rule], h.Missing[c.Name]); why != "" {
				t.Logf("missing: %s", why)
				return
			}
			if !c.alone {
				t.Parallel()
			}
			around(t, func(t *testing.T) {
				if err := c.check(h); err != nil {
					t.Errorf("%s: %s\nbut: %v", c.Rule, c.Text, err)
				}
			})
		})
	}
}

// Check runs the case of that name (see [Cases]) and returns what is wrong with
// the adapter, nil for nothing.
func Check(h Harness, name string) error {
	for _, c := range Cases() {
		if c.Name == name {
			return c.check(h)
		}
	}
	return fmt.Errorf("no case is named %q", name)
}

// caseTimeout is how long a case may wait for what must happen.
const caseTimeout = time.Minute

func (c Case) check(h Harness) (err error) {
	if h.Accuracy == 0 {
		h.Accuracy = 100 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
	defer cancel()
	e := &env{ctx: ctx, h: h, name: c.Name}
	e.label()
	defer e.unlabel()
	if e.rig, err = h.Open(ctx); err != nil {
		return fmt.Errorf("open the broker: %w", err)
	}
	e.b = e.rig.Broker
	defer func() {
		if closeErr := e.close(); err == nil {
			err = closeErr
		}
	}()
	return c.run(e)
}
