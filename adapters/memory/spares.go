package memory

import "sync"

// spareBytes is how much memory a broker keeps for what is published next.
const spareBytes = 512 << 10

// A broker through which much passes holds a reserve: memory that is never
// written, so that it takes address space and nothing else. The garbage
// collector counts it as in use, and so runs after that many bytes more. In a
// small process it runs every 4 MB otherwise, hundreds of times a second, which
// is a third of the cost of a message.
const (
	reserveBytes = 16 << 20
	reserveAfter = 10_000 // messages: a broker in a test has none
)

// stock are the entries that wait to be used again, with the memory of their
// bodies: memory that is used once is most of the cost of a message. They are
// no sync.Pool, because that is emptied by the garbage collector, which runs
// hundreds of times a second when a million messages pass.
type stock struct {
	mu sync.Mutex // comes last
	spares
	passed  int    // messages that came back since there was no subscription
	reserve []byte // nil until reserveAfter of them
}

// spares are entries that nobody uses, linked by next.
type spares struct {
	head, tail *entry
	bytes      int
	n          int // in what is not yet part of the stock
}

// add gives up an entry that was acknowledged and so is in no queue.
func (s *spares) add(e *entry) {
	e.msg.Headers, e.c, e.out = nil, nil, nil // nobody else's memory
	e.next = s.head
	if s.head == nil {
		s.tail = e
	}
	s.head = e
	s.bytes += e.size()
	s.n++
}

// addAll takes over what is in done, or leaves it to the garbage collector
// where there is enough.
func (s *stock) addAll(done *spares) {
	if done.head == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passed += done.n; s.passed > reserveAfter && s.reserve == nil {
		s.reserve = make([]byte, reserveBytes)
	}
	if s.bytes+done.bytes > spareBytes {
		return
	}
	done.tail.next = s.head
	s.head = done.head
	s.bytes += done.bytes
}

// get returns n entries linked by next, fewer where there are not as many.
func (s *stock) get(n int) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.head
	if first == nil {
		return nil
	}
	last := first
	s.bytes -= first.size()
	for ; n > 1 && last.next != nil; n-- {
		last = last.next
		s.bytes -= last.size()
	}
	s.head, last.next = last.next, nil
	return first
}

// rest gives up the reserve: nobody consumes any more.
func (s *stock) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed, s.reserve = 0, nil
}

// discard gives up e, which was acknowledged and so is in no queue.
func (q *queue) discard(e *entry) {
	var done spares
	done.add(e)
	q.b.stock.addAll(&done)
}
