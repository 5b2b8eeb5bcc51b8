package memory

import "container/heap"

// entryHeap is a priority queue of entries, each of which knows its index, so
// that any of them can be removed in O(log n).
type entryHeap struct {
	items []*entry
	less  func(a, b *entry) bool
	index func(*entry) *int32 // where the entry keeps its index, from 1
}

// bySeq orders entries by their place in the queue.
func bySeq() entryHeap {
	return entryHeap{
		less:  func(a, b *entry) bool { return a.seq < b.seq },
		index: func(e *entry) *int32 { return &e.ordered },
	}
}

// byTime orders entries by their time; those of equal time by their place.
func byTime() entryHeap {
	return entryHeap{
		less: func(a, b *entry) bool {
			return a.at < b.at || a.at == b.at && a.seq < b.seq
		},
		index: func(e *entry) *int32 { return &e.timed },
	}
}

func (h *entryHeap) add(e *entry) { heap.Push(h, e) }

// remove takes e out; where e is not in h, it does nothing.
func (h *entryHeap) remove(e *entry) {
	if i := *h.index(e); i > 0 {
		heap.Remove(h, int(i)-1)
	}
}

// first returns the least entry, nil where there is none.
func (h *entryHeap) first() *entry {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *entryHeap) clear() { h.items = nil }

// The methods of heap.Interface, for container/heap only.

func (h *entryHeap) Len() int           { return len(h.items) }
func (h *entryHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }

func (h *entryHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.index(h.items[i]), *h.index(h.items[j]) = int32(i+1), int32(j+1)
}

func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	h.items = append(h.items, e)
	*h.index(e) = int32(len(h.items))
}

// Pop gives memory back once three quarters of it are unused.
func (h *entryHeap) Pop() any {
	last := len(h.items) - 1
	e := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	if last > 64 && last < cap(h.items)/4 {
		h.items = append(make([]*entry, 0, 2*last), h.items...)
	}
	*h.index(e) = 0
	return e
}
