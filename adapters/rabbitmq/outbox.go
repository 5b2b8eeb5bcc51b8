package rabbitmq

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// outbox holds what is to be written to a connection. Whoever puts something
// into it does not wait for the network, and what comes together is written
// together: a message a system call costs client and broker more than all else
// that is done for a message (docs/adr/0008-speed-of-publishing.md).
type outbox struct {
	write func([]byte) (int, error) // to the network
	try   func([]byte) int          // as much as goes without waiting; nil where nobody can tell

	wake chan struct{} // there is something to write
	end  chan struct{} // closed when nothing is written any more
	done chan struct{} // closed when run has ended

	lazy   atomic.Int32 // callers that say when to write: see hold
	coming atomic.Int64 // bytes that have been admitted, and not put in yet

	writing sync.Mutex // held around take and write; before mu
	written []byte     // what take returned last, to be used again; belongs to writing

	mu      sync.Mutex
	waiting []byte
	room    chan struct{} // closed when waiting was taken; nil while nobody asked
}

const (
	// writeAt is how many bytes are written though more is to come.
	writeAt = 16 << 10
	// outboxLimit is how many bytes wait before publishers wait too.
	outboxLimit = 256 << 10
	// pieceSize is how many bytes are written at once.
	pieceSize = 64 << 10
)

func newOutbox(write func([]byte) (int, error)) *outbox {
	return &outbox{
		write: write,
		wake:  make(chan struct{}, 1),
		end:   make(chan struct{}),
		done:  make(chan struct{}),
	}
}

// put copies p, and says whether the connection had not ended by then. Where
// p cannot be written later, it ends.
func (o *outbox) put(p []byte) bool {
	select {
	case <-o.end:
		return false
	default:
	}
	o.mu.Lock()
	o.waiting = append(o.waiting, p...)
	n := len(o.waiting)
	o.mu.Unlock()
	if n >= writeAt || o.lazy.Load() == 0 {
		signal(o.wake)
	}
	return true
}

// hold says that the caller is about to put in more than one thing, does not
// wait for anything until then, and then calls flush.
func (o *outbox) hold() { o.lazy.Add(1) }

// flush has written what was put in since hold. A caller that is alone, with no
// other one about to put something in, writes by itself what goes without
// waiting: that is sooner than to wake up a goroutine for it.
func (o *outbox) flush(alone bool) {
	if o.lazy.Add(-1) > 0 || !alone || !o.writeNow() {
		signal(o.wake)
	}
}

// writeNow says whether it has written all that waits.
func (o *outbox) writeNow() bool {
	if o.try == nil || !o.writing.TryLock() {
		return false
	}
	defer o.writing.Unlock()
	p := o.take()
	n := o.try(p)
	if n == len(p) {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = slices.Concat(p[n:], o.waiting)
	return false
}

// admit admits n bytes, which are put in next, and followed by arrived. Where
// there is no room for them, it returns a channel that is closed when there may
// be. A message that alone is larger than the outbox has room in an empty one.
func (o *outbox) admit(n int) <-chan struct{} {
	before := o.coming.Add(int64(n)) - int64(n)
	o.mu.Lock()
	defer o.mu.Unlock()
	if before+int64(len(o.waiting)) < outboxLimit {
		return nil
	}
	o.coming.Add(int64(-n))
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

// arrived says that what was admitted has been put in, or will not be.
func (o *outbox) arrived(n int) { o.coming.Add(int64(-n)) }

// run writes until end is closed or the connection is.
func (o *outbox) run() {
	defer close(o.done)
	for {
		select {
		case <-o.wake:
		case <-o.end:
			return
		}
		runtime.Gosched() // others may be about to put something in
		if !o.writeWaiting() {
			return
		}
	}
}

// writeWaiting says whether it could write all that waits.
func (o *outbox) writeWaiting() bool {
	o.writing.Lock()
	defer o.writing.Unlock()
	for p := o.take(); len(p) > 0; p = o.take() {
		if !o.writeAll(p) {
			return false
		}
	}
	return true
}

// writeAll writes p in pieces, each of which has the time that a write may take:
// a large message on a slow network takes longer than that.
func (o *outbox) writeAll(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), pieceSize)
		if _, err := o.write(p[:n]); err != nil {
			return false
		}
		p = p[n:]
	}
	return true
}

// take returns all that waits, to be written before the next call. It needs
// o.writing.
func (o *outbox) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.waiting
	o.waiting, o.written = o.written[:0], p
	if cap(p) > outboxLimit { // it was for a large message
		o.written = nil
	}
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
	return p
}
