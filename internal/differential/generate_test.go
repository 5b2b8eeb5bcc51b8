package differential

import (
	"slices"
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

// programs are random programs of about 15 steps before those that have no one
// answer are left out.
func programs(quorum bool) *rapid.Generator[program] {
	return rapid.Custom(func(t *rapid.T) program {
		f := drawFlavour(t)
		first := f.declare(t)
		first.Queue = "a"
		some := rapid.SliceOfN(rapid.Custom(f.step), 0, 12) // rapid makes 5 of them, on average
		return admit(slices.Concat(program{first}, some.Draw(t, "steps"), some.Draw(t, "steps"), some.Draw(t, "steps")), quorum)
	})
}

// below draws a number from 0 to n-1, each as likely as the others: rapid's own
// prefer small ones. It shrinks towards 0.
func below(t *rapid.T, n int) int {
	const bits = 10
	v := 0
	for range bits {
		v *= 2
		if rapid.Bool().Draw(t, "bit") {
			v++
		}
	}
	return v % n
}

// oneIn says yes once in n times.
func oneIn(t *rapid.T, n int) bool { return below(t, n) == n-1 }

// pick draws one of a list, which shrinks towards its beginning.
func pick[T any](t *rapid.T, list ...T) T { return list[below(t, len(list))] }

func drawFlavour(t *rapid.T) flavour {
	f := flavour{prefetch: []int{0, 1, 2}}
	f.holds = oneIn(t, 3)
	f.times = oneIn(t, 5)
	f.topics = oneIn(t, 3)
	orderly := oneIn(t, 3)
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
	if f.times {
		choices = append(choices, choice{8, func(*rapid.T) step { return elapse{} }})
	}
	if f.topics {
		choices = append(choices, choice{12, func(t *rapid.T) step { return f.bind(t) }})
	}
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := below(t, sum)
	for _, c := range choices {
		if n < c.weight {
			return c.draw(t)
		}
		n -= c.weight
	}
	panic("the weights are wrong")
}

func slot(t *rapid.T) int { return below(t, 2) }

// letter is a verdict for a message that was got.
func letter(t *rapid.T) string {
	return pick(t, ".", "x", "q", "e", "z", "w")
}

func (f flavour) queue(t *rapid.T) string {
	queues := []string{"a", "a", "a", "a", "b", "b", "a.dead"}
	if f.topics {
		queues = append(queues, "t.g", "t.g", "t.h", "t.g.dead")
	}
	return pick(t, queues...)
}

// address is a queue or a topic.
func (f flavour) address(t *rapid.T) string {
	if f.topics && oneIn(t, 2) {
		return topicPrefix + "t"
	}
	return f.queue(t)
}

func (f flavour) group(t *rapid.T) string {
	return pick(t, "g", "g", "h")
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
	switch below(t, 10) {
	case 4:
		s.SingleActive = true
	case 5:
		s.Max = 1 + below(t, 3)
	case 6, 7:
		s.Max, s.DropOldest = 1+below(t, 3), true
	case 8:
		s.Exclusive = oneIn(t, 2)
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
		s.Key = pick(t, "a.b", "a", "", "b", "a.a.b", "a.x.y.b", "b.a")
	}
	return s
}

func (f flavour) message(t *rapid.T) message {
	m := message{Kind: plain}
	for _, verdict := range rapid.SliceOfN(rapid.SampledFrom(f.verdicts), 0, 3).Draw(t, "script") {
		m.Script += verdict
	}
	if oneIn(t, 8) {
		m.Kind = pick(t, rich, empty, large, wide, bad)
	}
	if f.times {
		f.time(t, &m)
	}
	return m
}

// time makes a message late, or short-lived, or both.
func (f flavour) time(t *rapid.T, m *message) {
	const ms = time.Millisecond
	switch below(t, 8) {
	case 4:
		m.Delay = 100 * ms
	case 5:
		m.Delay = 300 * ms
	case 6:
		m.TTL = 100 * ms
	case 7:
		m.TTL, m.Delay = 100*ms, 300*ms
	}
	if m.Delay == 0 {
		m.Late = oneIn(t, 12)
	}
}

func (f flavour) subscribe(t *rapid.T) subscribe {
	s := subscribe{
		Slot: slot(t), From: f.address(t),
		Prefetch: pick(t, f.prefetch...),
		Attempts: pick(t, 2, 1, 3),
	}
	if strings.HasPrefix(s.From, topicPrefix) {
		if !oneIn(t, 3) {
			s.Group = f.group(t)
		}
		s.Keys = f.patterns(t)
	}
	switch below(t, 10) {
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
		Attempts: pick(t, 2, 1),
		AutoAck:  oneIn(t, 5),
	}
}

func (f flavour) redrive(t *rapid.T) redrive {
	return redrive{
		From: pick(t, "a.dead", "a", "b"),
		To:   pick(t, "", "", "b"),
		Max:  below(t, 3),
	}
}
