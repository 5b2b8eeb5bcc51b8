package rabbitmq

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// socket is the network connection as amqp091-go sees it: one whose reads and
// writes end. amqp091-go by itself waits for ever to write to a peer that no
// longer reads, holding the locks that Close and the reader need; and it does
// not notice a peer that went silent right after the connection was opened.
//
// It deliberately has none of net.Conn's other methods: amqp091-go would use
// them to set deadlines of its own.
type socket struct {
	conn    net.Conn
	raw     net.Conn     // what conn runs over: closing it never waits, where TLS would still send a goodbye
	out     *outbox      // what is written goes through it; nil where it is written at once
	timeout atomic.Int64 // nanoseconds that one read or write may take; 0 is no limit
	first   atomic.Int32 // the first byte that came, plus 1; 0 while none has

	mu      sync.Mutex
	failure error // the first one, which is the cause of all others
}

// newSocket returns a socket whose Write does not wait for the network where
// buffered is set.
func newSocket(conn, raw net.Conn, buffered bool) *socket {
	s := &socket{conn: conn, raw: raw}
	if buffered {
		s.out = newOutbox(s.write)
		s.out.try = tryWriter(conn)
		go s.out.run()
	}
	return s
}

// limit sets how long one read or write may take from now on. The read that is
// waiting is limited too: nothing may ever come that would end it.
func (s *socket) limit(d time.Duration) {
	s.timeout.Store(int64(d))
	_ = s.conn.SetReadDeadline(s.deadline()) // fails only on a closed connection
}

func (s *socket) deadline() time.Time {
	if d := time.Duration(s.timeout.Load()); d > 0 {
		return time.Now().Add(d)
	}
	return time.Time{}
}

// Read fails when nothing came for too long, not even a heartbeat.
func (s *socket) Read(p []byte) (int, error) {
	if err := s.conn.SetReadDeadline(s.deadline()); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.conn.Read(p)
	if err != nil {
		return n, s.fail(err)
	}
	if n > 0 && s.first.Load() == 0 {
		s.first.Store(int32(p[0]) + 1)
	}
	return n, nil
}

// methodFrame is how AMQP's frames of that type begin, and with one of them
// begins what a broker says.
const methodFrame = 1

// isGarbage says whether something came which is no AMQP.
func (s *socket) isGarbage() bool {
	first := s.first.Load()
	return first != 0 && first != methodFrame+1
}

// Write fails when the peer took nothing for too long. Where there is an
// outbox, that ends the connection instead.
func (s *socket) Write(p []byte) (int, error) {
	if s.out == nil {
		return s.write(p)
	}
	if !s.out.put(p) {
		return 0, errCut
	}
	return len(p), nil
}

func (s *socket) write(p []byte) (int, error) {
	if err := s.conn.SetWriteDeadline(s.deadline()); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.conn.Write(p)
	if err != nil {
		return n, s.fail(err)
	}
	return n, nil
}

// Close implements [io.Closer].
func (s *socket) Close() error {
	s.cut()
	return nil
}

// end is cut, and returns when nothing of the socket runs any more.
func (s *socket) end() {
	s.cut()
	if s.out != nil {
		<-s.out.done
	}
}

// cut ends the connection without a word, and with it whatever waits for it.
func (s *socket) cut() { _ = s.fail(errCut) }

var errCut = errors.New("the connection was closed")

// fail closes the connection, so that a writer does not go on waiting where
// the reader has found out, and keeps the first error.
func (s *socket) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("no sign of life from the broker for %s: %w", time.Duration(s.timeout.Load()), err)
		}
		s.failure = err
		_ = s.raw.Close()
		if s.out != nil {
			close(s.out.end)
		}
	}
	return err
}

// cause is why the connection ended, nil while it lives or where it was closed
// on purpose.
func (s *socket) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.failure, errCut) {
		return nil
	}
	return s.failure
}
