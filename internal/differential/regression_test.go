package differential

import (
	"testing"
	"time"
)

// regression is a program on which the brokers once differed. It stays one that
// [plan.refuses] lets through.
type regression struct {
	name    string
	program program
	kinds   []bool // as newComparison's quorum
}

var (
	onBoth      = []bool{true, false}
	onClassic   = []bool{false}
	regressions = []regression{
		{
			// The test let go what the next one in line held, if that came first.
			"the active subscription ends while its handler is held",
			program{
				declare{Queue: "a", SingleActive: true},
				subscribe{From: "a", Prefetch: 1, Attempts: 1},
				subscribe{Slot: 1, From: "a", Prefetch: 1, Attempts: 1},
				publish{To: "a", Msgs: []message{{Script: "Hx"}, {Script: "Hx"}, {Script: "Hx"}}},
				cancel{},
			},
			onClassic, // which never give back in another order
		},
		{
			// The test took what had not expired yet for what RabbitMQ has still to
			// drop, and subscribed too soon.
			"a queue's TTL, after messages with one of their own",
			program{
				declare{Queue: "a", TTL: 100 * time.Millisecond},
				declare{Queue: "b"},
				publish{To: "b", Msgs: []message{{}, {TTL: 100 * time.Millisecond}, {TTL: 100 * time.Millisecond}}},
				publish{To: "a", Msgs: []message{{}, {}}},
				subscribe{From: "a", Prefetch: 1, Attempts: 1},
			},
			onBoth,
		},
		{
			// The test did not wait for a delayed message that nobody was bound to.
			"a group that is bound when a delay is over",
			program{
				publish{To: "topic:t", Key: "b", Msgs: []message{{Delay: 300 * time.Millisecond}, {}}},
				bind{Topic: "t", Group: "h", Keys: []string{}},
				publish{To: "topic:t", Key: "b", Msgs: []message{{Late: true}}},
				bind{Topic: "t", Group: "g", Keys: []string{}},
				elapse{},
			},
			onBoth,
		},
		{
			// RabbitMQ's adapter did not return from Subscribe.
			"a private subscription ends with a message to try again",
			program{
				subscribe{From: "topic:t", Keys: []string{}, Concurrency: 2, Prefetch: 2, Attempts: 3},
				publish{To: "topic:t", Key: "a", Msgs: []message{{Script: "He"}, {Script: "Hx"}, {Script: "He"}}},
				cancel{},
			},
			onBoth,
		},
	}
)

func TestDifferentialRegressionQuorum(t *testing.T)  { t.Parallel(); known(t, true) }
func TestDifferentialRegressionClassic(t *testing.T) { t.Parallel(); known(t, false) }

// known compares the brokers on the programs of regressions.
func known(t *testing.T, quorum bool) {
	c := newComparison(t, quorum)
	for _, r := range regressions {
		for _, kind := range r.kinds {
			if kind != quorum {
				continue
			}
			if admitted := admit(r.program, quorum); len(admitted) != len(r.program) {
				t.Errorf("%s: not a program that is compared any more; what is left of it:\n%s", r.name, admitted)
			}
			if difference := c.compare(r.program); difference != "" {
				t.Errorf("%s: %s", r.name, difference)
			}
		}
	}
	t.Log(c.counted())
}
