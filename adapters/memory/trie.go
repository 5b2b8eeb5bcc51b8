package memory

import (
	"iter"
	"slices"
	"strings"
)

// trie has the patterns that queues are bound to a topic with, word by word: a
// path from the root for each pattern. To find the queues for a key, the paths
// that its words allow are walked, and no other binding is looked at.
type trie struct{ root node }

// node is the end of a path, and so of the pattern that its words make.
type node struct {
	words  map[string]*node // by the next word, where that is no wildcard
	one    *node            // where it is "*": exactly one word
	many   *node            // where it is "#": any number of words
	queues []*queue         // bound with the pattern that ends here, the longest first
}

// words are the words of a key or a pattern. The empty key has none; any other
// has one more than dots, some of which may be empty.
func words(s string) iter.Seq[string] {
	if s == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(s, ".")
}

func (n *node) child(word string) *node {
	switch word {
	case "*":
		return n.one
	case "#":
		return n.many
	default:
		return n.words[word]
	}
}

// setChild takes a child away where to is nil.
func (n *node) setChild(word string, to *node) {
	switch {
	case word == "*":
		n.one = to
	case word == "#":
		n.many = to
	case to == nil:
		delete(n.words, word)
	case n.words == nil:
		n.words = map[string]*node{word: to}
	default:
		n.words[word] = to
	}
}

func (n *node) empty() bool {
	return len(n.queues) == 0 && len(n.words) == 0 && n.one == nil && n.many == nil
}

// add binds q with a pattern. It says whether that is new.
func (t *trie) add(pattern string, q *queue) bool {
	n := &t.root
	for word := range words(pattern) {
		next := n.child(word)
		if next == nil {
			next = &node{}
			n.setChild(word, next)
		}
		n = next
	}
	if slices.Contains(n.queues, q) {
		return false
	}
	n.queues = append(n.queues, q)
	return true
}

// remove takes back what add did, with the part of the path that nobody else
// needs.
func (t *trie) remove(pattern string, q *queue) {
	path := []*node{&t.root}
	steps := slices.Collect(words(pattern))
	for _, word := range steps {
		next := path[len(path)-1].child(word)
		if next == nil {
			return
		}
		path = append(path, next)
	}
	last := path[len(path)-1]
	last.queues = slices.DeleteFunc(last.queues, func(other *queue) bool { return other == q })
	for i := len(steps) - 1; i >= 0 && path[i+1].empty(); i-- {
		path[i].setChild(steps[i], nil)
	}
}

// matcher finds the queues for one key after another. Its zero value is ready.
//
// It follows all paths at once, a step for each word of the key, so that no
// number of "#" in a pattern makes it try combinations.
type matcher struct {
	here  []*node            // where the words so far lead, but for those in many
	many  []*node            // nodes of "#" that were reached: they stay, whatever words come
	known map[*node]struct{} // is many
	spare []*node            // memory for here
	found []*queue
	once  map[*queue]struct{} // is found

	visits int // nodes looked at, ever: what a match costs
}

// match returns the queues that are bound with a pattern that matches key, each
// once. The slice is good until the next match.
func (m *matcher) match(t *trie, key string) []*queue {
	m.reset()
	m.enter(&t.root)
	if key != "" { // not words(key), which would allocate
		for word := range strings.SplitSeq(key, ".") {
			m.step(word)
		}
	}
	for _, ends := range [...][]*node{m.here, m.many} {
		for _, n := range ends {
			m.collect(n)
		}
	}
	return m.found
}

func (m *matcher) reset() {
	if m.known == nil {
		m.known, m.once = map[*node]struct{}{}, map[*queue]struct{}{}
	}
	m.here, m.many, m.found = m.here[:0], m.many[:0], m.found[:0]
	clear(m.known)
	clear(m.once)
}

// enter notes that the words so far lead to n, and to what "#" without a word
// leads to from there.
func (m *matcher) enter(n *node) {
	m.visits++
	m.here = append(m.here, n)
	for n = n.many; n != nil; n = n.many {
		if _, known := m.known[n]; known {
			return
		}
		m.visits++
		m.known[n] = struct{}{}
		m.many = append(m.many, n)
	}
}

// step goes one word on.
func (m *matcher) step(word string) {
	before, stay := m.here, len(m.many)
	m.here = m.spare[:0]
	for _, n := range before {
		m.follow(n, word)
	}
	for _, n := range m.many[:stay] {
		m.visits++
		m.follow(n, word)
	}
	m.spare = before
}

func (m *matcher) follow(n *node, word string) {
	if next := n.words[word]; next != nil {
		m.enter(next)
	}
	if n.one != nil {
		m.enter(n.one)
	}
}

// collect adds the queues of n.
func (m *matcher) collect(n *node) {
	for _, q := range n.queues {
		if _, known := m.once[q]; !known {
			m.once[q] = struct{}{}
			m.found = append(m.found, q)
		}
	}
}
