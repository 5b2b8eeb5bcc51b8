package peers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// wirePublisher writes frames that were made beforehand straight to the
// socket, and reads nothing but confirmations: what no client can do better.
// The rate of warren's messages sent like that is the broker's limit.
type wirePublisher struct {
	conn   *amqp.Connection
	socket *wireSocket
	frames []byte // of one message
	window int    // unconfirmed messages
	whole  bool   // a window ends before the next one begins
}

// Wire keeps up to window messages unconfirmed on one channel. They are to the
// byte what warren sends.
func Wire(window int) OpenPublisher { return openWire(window, false) }

// WireBatches publishes batches: all of a batch without waiting, then all its
// confirms.
func WireBatches(size int) OpenPublisher { return openWire(size, true) }

func openWire(window int, whole bool) OpenPublisher {
	return func(_ context.Context, url, queue string, body []byte) (Publisher, error) {
		w := &wirePublisher{window: window, whole: whole}
		var err error
		w.conn, err = amqp.DialConfig(url, amqp.Config{
			Heartbeat: time.Hour, // nobody sends any
			Dial: func(network, address string) (net.Conn, error) {
				conn, err := net.DialTimeout(network, address, 10*time.Second)
				w.socket = &wireSocket{Conn: conn, parked: make(chan struct{}), end: make(chan struct{})}
				return w.socket, err
			},
		})
		if err != nil {
			return nil, err
		}
		if w.frames, err = w.begin(queue, body); err != nil {
			return nil, errors.Join(err, w.Close())
		}
		return w, nil
	}
}

// begin opens a channel, takes the socket away from amqp091-go, and has it say
// what it would have sent.
func (w *wirePublisher) begin(queue string, body []byte) ([]byte, error) {
	ch, err := w.conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	if err := w.socket.takeOver(); err != nil {
		return nil, err
	}
	m, err := warrenPublishing(body)
	if err != nil {
		return nil, err
	}
	if err := ch.PublishWithContext(context.Background(), "", queue, true, false, m); err != nil {
		return nil, err
	}
	return w.socket.written.Bytes(), nil
}

func (w *wirePublisher) Publish(ctx context.Context, n int) error {
	var sent, confirmed int
	out := bytes.Repeat(w.frames, min(n, w.window))
	for confirmed < n {
		room := w.window - (sent - confirmed)
		if w.whole && sent > confirmed {
			room = 0
		}
		if some := min(room, n-sent); some > 0 {
			if _, err := w.socket.Conn.Write(out[:some*len(w.frames)]); err != nil {
				return err
			}
			sent += some
		}
		got, err := w.socket.confirmations()
		if err != nil {
			return err
		}
		confirmed += got
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (w *wirePublisher) Close() error {
	err := w.socket.Close() // amqp091-go could not close it: the socket is not its own
	close(w.socket.end)
	_ = w.conn.CloseDeadline(time.Now())
	return err
}

// wireSocket belongs to amqp091-go until it is taken over.
type wireSocket struct {
	net.Conn
	taken   atomic.Bool
	parked  chan struct{} // closed when amqp091-go's reader no longer reads
	end     chan struct{} // lets the reader go
	written bytes.Buffer  // what amqp091-go has written since the take-over
	last    uint64        // delivery tag that was confirmed last
	in      []byte        // read, and not looked at yet
}

func (s *wireSocket) takeOver() error {
	s.taken.Store(true)
	if err := s.Conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	<-s.parked
	return s.Conn.SetReadDeadline(time.Time{})
}

func (s *wireSocket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if s.taken.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		close(s.parked)
		<-s.end
		return 0, io.EOF
	}
	return n, err
}

func (s *wireSocket) SetReadDeadline(t time.Time) error {
	if s.taken.Load() {
		return nil
	}
	return s.Conn.SetReadDeadline(t)
}

func (s *wireSocket) Write(p []byte) (int, error) {
	if s.taken.Load() {
		return s.written.Write(p)
	}
	return s.Conn.Write(p)
}

const (
	frameHead   = 7           // type, channel, size
	ackMethod   = 60<<16 | 80 // basic.ack
	ackArgument = frameHead + 4
)

// confirmations reads once, and says how many messages were confirmed.
func (s *wireSocket) confirmations() (int, error) {
	buf := make([]byte, 4096)
	n, err := s.Conn.Read(buf)
	if err != nil {
		return 0, err
	}
	s.in = append(s.in, buf[:n]...)
	before := s.last
	for len(s.in) >= frameHead {
		size := frameHead + int(binary.BigEndian.Uint32(s.in[3:])) + 1
		if len(s.in) < size {
			break
		}
		if s.in[0] == 1 { // a method; not a heartbeat
			if err := s.confirm(s.in[:size]); err != nil {
				return 0, err
			}
		}
		s.in = s.in[size:]
	}
	return int(s.last - before), nil
}

// confirm notes an ack. One queue confirms in order, so that the latest stands
// for all before it.
func (s *wireSocket) confirm(frame []byte) error {
	if method := binary.BigEndian.Uint32(frame[frameHead:]); method != ackMethod {
		return fmt.Errorf("the broker sent method %d.%d instead of an ack", method>>16, method&0xffff)
	}
	tag := binary.BigEndian.Uint64(frame[ackArgument:])
	multiple := frame[ackArgument+8]&1 == 1
	if tag <= s.last || (!multiple && tag != s.last+1) {
		return fmt.Errorf("the broker confirmed %d after %d: not in order", tag, s.last)
	}
	s.last = tag
	return nil
}
