package memory

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging"
)

// matches is the definition of T3 as a recursion: slow, and easily seen to be
// right.
func matches(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "#":
		return matches(pattern[1:], key) || len(key) > 0 && matches(pattern, key[1:])
	case len(key) == 0:
		return false
	default:
		return (pattern[0] == "*" || pattern[0] == key[0]) && matches(pattern[1:], key[1:])
	}
}

func split(s string) []string { return slices.Collect(words(s)) }

// bound is a trie with a queue for each pattern.
func bound(patterns ...string) (*trie, map[string]*queue) {
	t, queues := &trie{}, map[string]*queue{}
	for _, p := range patterns {
		if queues[p] == nil {
			queues[p] = newQueue(nil, messaging.QueueSpec{Name: p})
		}
		t.add(p, queues[p])
	}
	return t, queues
}

func found(m *matcher, t *trie, key string) []string {
	var names []string
	for _, q := range m.match(t, key) {
		names = append(names, q.spec.Name)
	}
	slices.Sort(names)
	return names
}

func expected(patterns []string, key string) []string {
	var names []string
	for _, p := range patterns {
		if matches(split(p), split(key)) {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestTrieTable(t *testing.T) {
	for _, row := range []struct {
		pattern string
		yes, no string // keys, separated by blanks; "-" is the empty one
	}{
		{"#", "- a a.b . a..b", ""},
		{"*", "a", "- a.b . a."},
		{"a", "a", "- A aa a. .a a.a"},
		{"a.*", "a.b a.", "a a.b.c b.a"},
		{"*.a", "b.a .a", "a a.a.a"},
		{"a.#", "a a.b a.b.c a. a..", "- b aa .a"},
		{"#.a", "a b.a .a a.a a.b.a", "- b a."},
		{"a.#.b", "a.b a..b a.x.b a.b.b", "a b a.b.a"},
		{"a.*.b", "a..b a.x.b", "a.b a.x.y.b"},
		{"#.*", "a a.b .", "-"},
		{"*.#", "a a.b .", "-"},
		{"#.#", "- a a.b", ""},
		{"#.a.#", "a b.a a.b b.a.b a.a", "- b b.c"},
		{"*.*.#.c", "a.b.c a.c.c a.b.x.c", "a.c c a.b.c.d"},
	} {
		tr, _ := bound(row.pattern)
		var m matcher
		for _, want := range []struct {
			keys string
			n    int
		}{{row.yes, 1}, {row.no, 0}} {
			for key := range strings.FieldsSeq(want.keys) {
				key = strings.TrimPrefix(key, "-")
				if got := len(m.match(tr, key)); got != want.n {
					t.Errorf("pattern %q, key %q: %d matches, want %d", row.pattern, key, got, want.n)
				}
				if reference := matches(split(row.pattern), split(key)); reference != (want.n == 1) {
					t.Errorf("pattern %q, key %q: the reference is wrong", row.pattern, key)
				}
			}
		}
	}
}

func TestTrieFindsEachQueueOnce(t *testing.T) {
	tr := &trie{}
	q := newQueue(nil, messaging.QueueSpec{Name: "q"})
	for _, p := range []string{"#", "a.#", "*.b", "a.b", "#.#", "#.b"} {
		if !tr.add(p, q) || tr.add(p, q) {
			t.Errorf("%q: added not once", p)
		}
	}
	var m matcher
	if got := m.match(tr, "a.b"); len(got) != 1 {
		t.Errorf("found %d times", len(got))
	}
}

// FuzzTrie adds patterns, removes some again, and compares with the reference.
func FuzzTrie(f *testing.F) {
	f.Add("a.*;#;a.#.b;*.#.*;#.#", "a.x.b", uint64(0))
	f.Add("*.*;a..b;#.a.#.a.#", "a..b", uint64(1))
	f.Add("a;b;#.b.#.#", "", uint64(5))
	f.Fuzz(func(t *testing.T, list, key string, removed uint64) {
		if len(list) <= 64 && len(key) <= 32 { // the reference is exponential
			compareWithReference(t, strings.Split(list, ";"), key, removed)
		}
	})
}

// TestTrieOnRandomPatterns is what the fuzzing finds, on every run.
func TestTrieOnRandomPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(alphabet ...string) string {
		w := make([]string, r.IntN(6))
		for i := range w {
			w[i] = alphabet[r.IntN(len(alphabet))]
		}
		return strings.Join(w, ".")
	}
	for range 5_000 {
		patterns := make([]string, 1+r.IntN(8))
		for i := range patterns {
			patterns[i] = random("a", "b", "*", "#")
		}
		compareWithReference(t, patterns, random("a", "b", "c", ""), r.Uint64())
	}
}

// compareWithReference removes the i-th pattern where bit i of removed is set.
func compareWithReference(t *testing.T, patterns []string, key string, removed uint64) {
	t.Helper()
	tr, queues := bound(patterns...)
	var m matcher
	if got, want := found(&m, tr, key), expected(patterns, key); !slices.Equal(got, want) {
		t.Errorf("patterns %q, key %q: found %q, want %q", patterns, key, got, want)
	}
	left := maps.Clone(queues)
	for i, p := range patterns {
		if removed>>(i%64)&1 == 1 {
			tr.remove(p, queues[p])
			delete(left, p)
		}
	}
	if got, want := found(&m, tr, key), expected(slices.Collect(maps.Keys(left)), key); !slices.Equal(got, want) {
		t.Errorf("patterns %q, left %q, key %q: found %q, want %q", patterns, slices.Collect(maps.Keys(left)), key, got, want)
	}
	for p, q := range left {
		tr.remove(p, q)
		tr.remove(p, q) // of what is not there
	}
	if !tr.root.empty() {
		t.Errorf("patterns %q: something is left when all are removed", patterns)
	}
}

// manyBindings are of the kinds that applications have.
func manyBindings(n int) []string {
	patterns := make([]string, n)
	for i := range patterns {
		patterns[i] = fmt.Sprintf([]string{"order.%d.*", "order.%d.#", "*.%d.placed", "#.%d", "order.eu.%d"}[i%5], i)
	}
	return patterns
}

// TestMatchingDoesNotScan counts what a match looks at instead of its time.
func TestMatchingDoesNotScan(t *testing.T) {
	var before int
	for _, n := range []int{10, 10_000} {
		tr, _ := bound(manyBindings(n)...)
		var m matcher
		if got := found(&m, tr, "order.5.placed"); !slices.Equal(got, []string{"order.5.*"}) {
			t.Errorf("found %q", got)
		}
		if m.visits > 12 || before > 0 && m.visits != before {
			t.Errorf("with %d bindings, %d nodes were visited; with few %d", n, m.visits, before)
		}
		before = m.visits
	}
}

// TestMatchingTriesNoCombinations is a pattern that makes a backtracking
// matcher try billions of ways.
func TestMatchingTriesNoCombinations(t *testing.T) {
	const wildcards, length = 60, 120
	tr, _ := bound(strings.Repeat("#.a.", wildcards) + "b")
	var m matcher
	if got := m.match(tr, strings.Repeat("a.", length)+"c"); len(got) != 0 {
		t.Error("matches")
	}
	if limit := 2*wildcards*length + 2*length; m.visits > limit {
		t.Errorf("%d nodes were visited; there are %d, for each of %d words", m.visits, 2*wildcards+1, length)
	}
}

// BenchmarkMatch is what routing costs a message among 10,000 bindings.
func BenchmarkMatch(b *testing.B) {
	tr, _ := bound(manyBindings(10_000)...)
	var m matcher
	b.ReportAllocs()
	for b.Loop() {
		m.match(tr, "order.5.placed")
	}
}
