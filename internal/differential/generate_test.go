package differential

import (
	"strings"
	"time"

	"pgregory.net/rapid"
)

// flavour says what a program is about. Not everything goes together: see
// [plan.refuses].
type flavour struct {
	verdicts []string // what scripts are made of
	holds    bool
	times    bool // TTL and Delay
	topics   bool
	prefetch []int
}

// programs are random programs of up to 14 steps.
func programs(quorum bool) *rapid.Generator[program] {
	return rapid.Custom(func(t *rapid.T) program {
		f := drawFlavour(t)
		first := f.declare(t)
		first.Queue = "a"
		rest := rapid.SliceOfN(rapid.Custom(f.step), 2, 14).Draw(t, "steps")
		return admit(append(program{first}, rest...), quorum)
	})
}

// one in n.
func oneIn(t *rapid.T, n int, label string) bool {
	return rapid.IntRange(0, n-1).Draw(t, label) == n-1
}

func drawFlavour(t *rapid.T) flavour {
	f := flavour{prefetch: []int{0, 1, 2}}
	f.holds = oneIn(t, 3, "holds")
	f.times = oneIn(t, 5, "times")
	f.topics = oneIn(t, 3, "topics")
	orderly := oneIn(t, 3, "orderly")
	switch {
	case orderly:
		f.prefetch = []int{1}
		f.verdicts = []string{".", "x", "q"}
		if f.holds {
			f.verdicts = []string{".", "x", "H.", "Hx"}
		}
	case f.holds:
		f.verdicts = []string{".", "H.", "x", "Hx", "e", "He", "p"}
	case f.times:
		f.verdicts = []string{".", "x", "q", "w", "W"}
	default:
		f.verdicts = []string{".", "x", "q", "e", "z", "p", "w"}
	}
	return f
}

func (f flavour) step(t *rapid.T) step {
	type choice struct {
		weight int
		draw   func(*rapid.T) step
	}
	choices := []choice{
		{30, func(t *rapid.T) step { return f.publish(t) }},
		{30, func(t *rapid.T) step { return f.subscribe(t) }},
		{10, func(t *rapid.T) step { return cancel{slot(t)} }},
		{8, func(t *rapid.T) step { return f.get(t) }},
		{10, func(t *rapid.T) step { return settle{slot(t), letter(t)} }},
		{6, func(t *rapid.T) step { return f.declare(t) }},
		{4, func(t *rapid.T) step { return purge{f.queue(t)} }},
		{4, func(t *rapid.T) step { return remove{f.address(t)} }},
		{4, func(t *rapid.T) step { return f.redrive(t) }},
	}
	if f.holds {
		choices = append(choices, choice{12, func(t *rapid.T) step { return release{slot(t)} }})
	}
	if f.topics {
		choices = append(choices, choice{12, func(t *rapid.T) step { return f.bind(t) }})
	}
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := rapid.IntRange(0, sum-1).Draw(t, "operation")
	for _, c := range choices {
		if n < c.weight {
			return c.draw(t)
		}
		n -= c.weight
	}
	panic("the weights are wrong")
}

func slot(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "slot") }

// letter is a verdict for a message that was got.
func letter(t *rapid.T) string {
	return rapid.SampledFrom([]string{".", "x", "q", "e", "z", "w"}).Draw(t, "verdict")
}

func (f flavour) queue(t *rapid.T) string {
	queues := []string{"a", "a", "a", "a", "b", "b", "a.dead"}
	if f.topics {
		queues = append(queues, "t.g", "t.g", "t.h", "t.g.dead")
	}
	return rapid.SampledFrom(queues).Draw(t, "queue")
}

// address is a queue or a topic.
func (f flavour) address(t *rapid.T) string {
	if f.topics && rapid.Bool().Draw(t, "topic") {
		return topicPrefix + "t"
	}
	return f.queue(t)
}

func (f flavour) group(t *rapid.T) string {
	return rapid.SampledFrom([]string{"g", "g", "h"}).Draw(t, "group")
}

func (f flavour) patterns(t *rapid.T) []string {
	pattern := rapid.SampledFrom([]string{"#", "*", "a.*", "*.b", "a.#", "#.b", "a", "a.b", "#.#", "*.#.b", "a.#.#.b"})
	return rapid.SliceOfN(pattern, 0, 3).Draw(t, "patterns")
}

func (f flavour) bind(t *rapid.T) bind {
	return bind{Topic: "t", Group: f.group(t), Keys: f.patterns(t)}
}

func (f flavour) declare(t *rapid.T) declare {
	s := declare{Queue: f.queue(t)}
	switch rapid.IntRange(0, 9).Draw(t, "spec") {
	case 4:
		s.SingleActive = true
	case 5:
		s.Max = rapid.IntRange(1, 3).Draw(t, "max")
	case 6, 7:
		s.Max, s.DropOldest = rapid.IntRange(1, 3).Draw(t, "max"), true
	case 8:
		s.Exclusive = rapid.Bool().Draw(t, "exclusive")
		s.AutoDelete = !s.Exclusive
	case 9:
		if f.times {
			s.TTL = 100 * time.Millisecond
		}
	}
	return s
}

func (f flavour) publish(t *rapid.T) publish {
	s := publish{To: f.address(t), Msgs: rapid.SliceOfN(rapid.Custom(f.message), 1, 5).Draw(t, "messages")}
	if f.topics {
		s.Key = rapid.SampledFrom([]string{"a.b", "a", "", "b", "a.a.b", "a.x.y.b", "b.a"}).Draw(t, "key")
	}
	return s
}

func (f flavour) message(t *rapid.T) message {
	m := message{Kind: plain}
	for _, verdict := range rapid.SliceOfN(rapid.SampledFrom(f.verdicts), 0, 3).Draw(t, "script") {
		m.Script += verdict
	}
	if oneIn(t, 8, "odd") {
		m.Kind = rapid.SampledFrom([]kind{rich, empty, large, wide, bad}).Draw(t, "kind")
	}
	if f.times {
		f.time(t, &m)
	}
	return m
}

// time makes a message late, or short-lived, or both.
func (f flavour) time(t *rapid.T, m *message) {
	const ms = time.Millisecond
	switch rapid.IntRange(0, 7).Draw(t, "time") {
	case 4:
		m.Delay = 100 * ms
	case 5:
		m.Delay = 300 * ms
	case 6:
		m.TTL = 100 * ms
	case 7:
		m.TTL, m.Delay = 100*ms, 300*ms
	}
}

func (f flavour) subscribe(t *rapid.T) subscribe {
	s := subscribe{
		Slot: slot(t), From: f.address(t),
		Prefetch: rapid.SampledFrom(f.prefetch).Draw(t, "prefetch"),
		Attempts: rapid.SampledFrom([]int{2, 1, 3}).Draw(t, "attempts"),
	}
	if strings.HasPrefix(s.From, topicPrefix) {
		if !oneIn(t, 3, "private") {
			s.Group = f.group(t)
		}
		s.Keys = f.patterns(t)
	}
	switch rapid.IntRange(0, 9).Draw(t, "manner") {
	case 7:
		s.AutoAck = true
	case 8:
		s.Concurrency = 2
		s.Prefetch = max(s.Prefetch, 2)
	case 9:
		s.Dead = "b"
	}
	return s
}

func (f flavour) get(t *rapid.T) get {
	return get{
		Slot: slot(t), From: f.queue(t),
		Attempts: rapid.SampledFrom([]int{2, 1}).Draw(t, "attempts"),
		AutoAck:  oneIn(t, 5, "automatic"),
	}
}

func (f flavour) redrive(t *rapid.T) redrive {
	return redrive{
		From: rapid.SampledFrom([]string{"a.dead", "a", "b"}).Draw(t, "from"),
		To:   rapid.SampledFrom([]string{"", "", "b"}).Draw(t, "to"),
		Max:  rapid.IntRange(0, 2).Draw(t, "max"),
	}
}
