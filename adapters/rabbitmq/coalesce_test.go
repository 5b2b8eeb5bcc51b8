package rabbitmq

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCoalescer(t *testing.T) {
	type settled struct {
		tag uint64
		ack bool
	}
	for _, c := range []struct {
		name   string
		events []settled
		upTo   uint64
		others []uint64
	}{
		{name: "nothing"},
		{"one", []settled{{1, true}}, 1, nil},
		{"prefix", []settled{{1, true}, {2, true}, {3, true}}, 3, nil},
		{"any order", []settled{{3, true}, {1, true}, {2, true}}, 3, nil},
		{"gap", []settled{{1, true}, {4, true}, {3, true}}, 1, []uint64{3, 4}},
		{"gap at the front", []settled{{3, true}, {2, true}}, 0, []uint64{2, 3}},
		{"last one went back", []settled{{1, true}, {2, false}}, 1, nil},
		{"first one went back", []settled{{1, false}, {2, true}}, 2, nil},
		{"all went back", []settled{{1, false}, {2, false}}, 0, nil},
		{"one beyond a gap went back", []settled{{2, false}, {3, true}}, 0, []uint64{3}},
	} {
		var co coalescer
		for _, e := range c.events {
			co.settle(e.tag, e.ack)
		}
		upTo, others := co.take()
		if upTo != c.upTo || !slices.Equal(others, c.others) {
			t.Errorf("%s: up to %d, and %v; want up to %d, and %v", c.name, upTo, others, c.upTo, c.others)
		}
		if upTo, others := co.take(); upTo != 0 || others != nil {
			t.Errorf("%s: taken twice: %d, %v", c.name, upTo, others)
		}
	}
}

// TestCoalescerAgainstBroker settles tags in random order and way, and checks
// against a model of the broker: nothing is settled twice or in the wrong way,
// no tag is named that the broker does not know, and in the end all are.
func TestCoalescerAgainstBroker(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(60)
		want := map[uint64]bool{} // ack or not
		open := map[uint64]bool{} // unsettled at the broker
		var co coalescer
		var order []uint64
		for tag := uint64(1); tag <= uint64(n); tag++ {
			order = append(order, tag)
			want[tag], open[tag] = r.IntN(4) > 0, true
		}
		r.Shuffle(len(order), func(i, j int) {
			if abs(i-j) < 10 {
				order[i], order[j] = order[j], order[i]
			}
		})
		settled := map[uint64]bool{}
		ack := func(tag uint64) {
			if !settled[tag] || !want[tag] {
				t.Fatalf("seed %d: acknowledged %d, which was not", seed, tag)
			}
			delete(open, tag)
		}
		flush := func() {
			upTo, others := co.take()
			if upTo > 0 && !open[upTo] {
				t.Fatalf("seed %d: up to %d, which the broker does not know any more", seed, upTo)
			}
			for tag := uint64(1); tag <= upTo; tag++ {
				if open[tag] {
					ack(tag)
				}
			}
			for _, tag := range others {
				if !open[tag] {
					t.Fatalf("seed %d: %d is acknowledged twice", seed, tag)
				}
				ack(tag)
			}
		}
		for _, tag := range order {
			co.settle(tag, want[tag])
			settled[tag] = true
			if !want[tag] {
				delete(open, tag) // what goes back is sent before acknowledgements
			}
			if r.IntN(5) == 0 {
				flush()
			}
		}
		flush()
		if len(open) > 0 || len(co.ahead) > 0 || co.low != uint64(n) {
			t.Fatalf("seed %d: left are %v at the broker, %v ahead of %d", seed, open, co.ahead, co.low)
		}
	}
}

func abs(n int) int { return max(n, -n) }
