package middleware

import (
	"context"
	"fmt"
	"sync"
)

// MemoryStore is a bounded [Store] in this process. It knows nothing of other
// processes, and nothing of what was handled before this one started.
type MemoryStore struct {
	mu    sync.Mutex
	marks map[string]*mark
	ring  []string // marked keys, the oldest at next once it is full
	next  int
}

// mark is a key that is being handled or has been.
type mark struct {
	ended   chan struct{} // closed when the handling has ended
	handled bool          // valid then: it returned nil
}

// NewMemoryStore returns a store that remembers the last capacity keys that
// were handled, at about 150 bytes and the key's length each. It panics where
// capacity is less than 1.
func NewMemoryStore(capacity int) *MemoryStore {
	if capacity < 1 {
		panic(fmt.Sprintf("middleware.NewMemoryStore: capacity is %d; it must be at least 1", capacity))
	}
	return &MemoryStore{marks: map[string]*mark{}, ring: make([]string, 0, capacity)}
}

// Once implements [Store]. A mark is forgotten when as many others as the
// capacity came after it. It has no errors of its own but that of a ctx that
// ends while it waits.
func (s *MemoryStore) Once(ctx context.Context, key string, handle func(context.Context) error) (bool, error) {
	if key == "" {
		return true, handle(ctx)
	}
	for {
		m, mine := s.claim(key)
		if mine {
			return true, s.run(ctx, key, m, handle)
		}
		select {
		case <-m.ended:
		case <-ctx.Done():
			return false, fmt.Errorf("wait for the handling of a duplicate, key %q: %w", key, ctx.Err())
		}
		if m.handled {
			return false, nil
		}
	}
}

// claim returns the mark of key, and whether the caller is to handle it.
func (s *MemoryStore) claim(key string) (m *mark, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, taken := s.marks[key]; taken {
		return m, false
	}
	m = &mark{ended: make(chan struct{})}
	s.marks[key] = m
	return m, true
}

func (s *MemoryStore) run(ctx context.Context, key string, m *mark, handle func(context.Context) error) error {
	handled := false
	defer func() { s.end(key, m, handled) }() // also after a panic
	err := handle(ctx)
	handled = err == nil
	return err
}

func (s *MemoryStore) end(key string, m *mark, handled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.handled = handled; handled {
		s.remember(key)
	} else {
		delete(s.marks, key)
	}
	close(m.ended)
}

// remember forgets the oldest key where the ring is full.
func (s *MemoryStore) remember(key string) {
	if len(s.ring) < cap(s.ring) {
		s.ring = append(s.ring, key)
		return
	}
	delete(s.marks, s.ring[s.next])
	s.ring[s.next] = key
	s.next = (s.next + 1) % len(s.ring)
}
