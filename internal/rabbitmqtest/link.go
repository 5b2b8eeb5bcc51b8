package rabbitmqtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is one connection through the proxy.
type link struct {
	proxy  *Proxy
	client net.Conn
	done   chan struct{} // closed when the link is ended

	mu     sync.Mutex
	broker net.Conn // nil until dialled
	ended  bool
}

// join adds the broker's side, and reports false where the link has been
// ended while it was dialled.
func (l *link) join(broker net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broker = broker
	if l.ended {
		_ = broker.Close()
	}
	return !l.ended
}

func (l *link) close() { l.end(false, false) }

func (l *link) reset() { l.end(true, true) }

// end closes both sides, in order or with a reset. Only the first call counts.
func (l *link) end(resetClient, resetBroker bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	close(l.done)
	hangUp(l.client, resetClient)
	if l.broker != nil {
		hangUp(l.broker, resetBroker)
	}
}

// hangUp closes conn. With a reset, what is unsent is dropped and the peer
// sees an error instead of the end.
func hangUp(conn net.Conn, reset bool) {
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // fails on a closed connection only
	}
	_ = conn.Close()
}

// chunk is what was read at once and may be written when it is due.
type chunk struct {
	data []byte
	due  time.Time
}

// carry copies one direction until it ends. Reading and writing are apart so
// that latency delays the bytes and not the reading of those behind them.
func (l *link) carry(d Direction, from, to net.Conn) {
	chunks := make(chan chunk, 1024)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(chunks)
		l.read(d, from, chunks)
	})
	l.write(d, to, chunks)
}

func (l *link) read(d Direction, from net.Conn, chunks chan<- chunk) {
	buf := make([]byte, 32<<10)
	for l.await(l.proxy.gate(d)) {
		n, err := from.Read(buf)
		if n > 0 {
			select {
			case chunks <- chunk{bytes.Clone(buf[:n]), time.Now().Add(l.proxy.delay())}:
			case <-l.done:
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				l.reset()
			}
			return
		}
	}
}

func (l *link) write(d Direction, to net.Conn, chunks <-chan chunk) {
	for c := range chunks {
		if !l.sleep(time.Until(c.due)) || !l.await(l.proxy.gate(d)) {
			return
		}
		pass, cut := l.proxy.take(d, len(c.data))
		if _, err := to.Write(c.data[:pass]); err != nil {
			l.reset()
			return
		}
		if cut {
			l.end(d == ToBroker, d == ToClient) // the sender's side
			return
		}
	}
	if tcp, ok := to.(*net.TCPConn); ok && l.await(l.proxy.gate(d)) {
		_ = tcp.CloseWrite()
	}
}

// await reports whether the gate opened before the link ended.
func (l *link) await(gate <-chan struct{}) bool {
	select {
	case <-l.done:
		return false
	case <-gate:
		return true
	}
}

func (l *link) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.done:
		return false
	case <-timer.C:
		return true
	}
}
