package chaos

import (
	"context"
	"runtime"
	"time"
)

// The bounds of a client whose broker is away.
const (
	mostGoroutines = 10               // more than at the beginning of the absence
	mostMemory     = 4 << 20          // bytes of live heap more than then
	resumeWithin   = 5 * time.Second  // of the broker's return
	attemptEvery   = 2 * time.Second  // at the least, once the wait between attempts has grown
	growing        = 30 * time.Second // attempts more than that are made while it grows
)

// brokerAway: a client whose broker is gone for long neither grows nor fills
// the log, and is back as soon as the broker is.
func brokerAway(t *trial) error {
	node, err := t.node()
	if err != nil {
		return err
	}
	b, err := t.open(node.URL(), "publish_timeout=2s")
	if err != nil {
		return err
	}
	q, err := t.declare(b)
	if err != nil {
		return err
	}
	l := t.load(b, b, q, spec{publishers: 8, consumers: 4, patience: 2 * time.Second})
	if err := l.progress(500); err != nil {
		return err
	}
	if err := node.Stop(); err != nil {
		return err
	}
	away := time.Duration(t.times) * time.Second
	if err := t.pause(min(away/10, 10*time.Second)); err != nil { // what was under way has ended
		return err
	}
	lines, goroutines, heap := t.log.lines(), runtime.NumGoroutine(), liveHeap()
	if err := t.pause(away); err != nil {
		return err
	}
	moreLines, moreGoroutines, moreHeap := t.log.lines()-lines, runtime.NumGoroutine()-goroutines, liveHeap()-heap
	t.counted("log lines while away", moreLines)
	t.counted("more goroutines", moreGoroutines)
	t.counted("more KiB of heap", moreHeap>>10)
	const links = 2 // each connection makes its own attempts
	most := links * int((away+growing)/attemptEvery)
	t.expect(moreLines <= most, "%d log lines, which is more than one for an attempt (%d)", moreLines, most)
	t.expect(moreGoroutines <= mostGoroutines, "%d goroutines more than at the beginning", moreGoroutines)
	t.expect(moreHeap <= mostMemory, "%d bytes more of heap than at the beginning", moreHeap)

	if err := node.StartAgain(t.ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := l.resumed(); err != nil {
		return err
	}
	t.expect(time.Since(began) <= resumeWithin, "resumed %s after the broker's return; the limit is %s", time.Since(began), resumeWithin)
	return l.finish()
}

// pause lets time pass.
func (t *trial) pause(d time.Duration) error { return pause(t.ctx, d) }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// liveHeap is how many bytes of the heap are in use.
func liveHeap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
