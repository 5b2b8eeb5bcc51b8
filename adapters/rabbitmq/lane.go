package rabbitmq

import (
	"sync"
	"sync/atomic"
)

// lane is one channel for publishing, opened when it is needed and opened again
// when it is lost.
type lane struct {
	p      *publisher
	window int
	load   atomic.Int64 // messages that callers send over it and wait for

	mu      sync.Mutex
	present *session
	opening chan struct{} // closed when the opening that is under way has ended; nil where none is
}

// session returns one that can be written to. Where there is none, one is
// being opened, and the channel is closed when that has ended.
func (l *lane) session() (*session, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.present != nil && l.present.usable() {
		return l.present, nil
	}
	if l.opening == nil {
		old := l.present
		l.present, l.opening = nil, make(chan struct{})
		l.p.running.Go(func() { l.open(old) })
	}
	return nil, l.opening
}

// open opens a session in place of old, which may be nil. It goes on when
// those who asked for it no longer wait: others will ask.
func (l *lane) open(old *session) {
	if old != nil {
		l.p.running.Go(old.retire)
	}
	s := l.connect()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.present = s
	close(l.opening)
	l.opening = nil
}

// connect waits for as long as the broker is away; nil means the end.
func (l *lane) connect() *session {
	for l.p.end.Err() == nil {
		g, err := l.p.link.await(l.p.end)
		if err != nil {
			return nil
		}
		s, err := newSession(g, l.window, &l.p.running)
		if err == nil {
			return s
		}
		if !g.recovered(l.p.end, l.p.cut) {
			return nil
		}
	}
	return nil
}
