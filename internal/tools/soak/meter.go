package main

import (
	"fmt"
	"runtime"
)

// sample is what the process holds at a moment.
type sample struct {
	heap       int // bytes that are in use after a collection
	goroutines int
}

func (s sample) String() string {
	return fmt.Sprintf("heap %6.2f MiB, goroutines %d", float64(s.heap)/(1<<20), s.goroutines)
}

// meter collects samples.
type meter struct{ samples []sample }

func (m *meter) measure() {
	runtime.GC()
	runtime.GC() // what the first one has freed of pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.samples = append(m.samples, sample{int(stats.HeapAlloc), runtime.NumGoroutine()})
}

func (m *meter) last() sample { return m.samples[len(m.samples)-1] }

// The bounds of what may differ between the first samples and the last.
const (
	moreHeap       = 1 << 20 // bytes; a leak of a byte or two a message would show
	moreGoroutines = 5       // some end a moment late
)

// flat is an error where the last samples are above the first. The least of
// three is compared, since any one may be taken at a bad moment; the very first
// has things in it that are made once.
func (m *meter) flat() error {
	early, late := least(m.samples[1:4]), least(m.samples[len(m.samples)-3:])
	if late.heap-early.heap > moreHeap {
		return fmt.Errorf("the heap has grown from %d to %d bytes", early.heap, late.heap)
	}
	if late.goroutines-early.goroutines > moreGoroutines {
		return fmt.Errorf("from %d goroutines there are now %d", early.goroutines, late.goroutines)
	}
	return nil
}

func least(of []sample) sample {
	s := of[0]
	for _, o := range of {
		s.heap, s.goroutines = min(s.heap, o.heap), min(s.goroutines, o.goroutines)
	}
	return s
}
