package rabbitmq

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
)

// gatedWriter hands each write to the test, and waits for its answer.
type gatedWriter struct {
	wrote  chan []byte
	answer chan error
}

func newGatedOutbox(t *testing.T) (*outbox, *gatedWriter) {
	w := &gatedWriter{wrote: make(chan []byte), answer: make(chan error)}
	o := newOutbox(func(p []byte) (int, error) {
		w.wrote <- bytes.Clone(p)
		return len(p), <-w.answer
	})
	go o.run()
	t.Cleanup(func() { <-o.done })
	return o, w
}

// TestOutboxWritesTogether: what comes while the network is busy is written by
// one system call, in order, and nobody waits for that.
func TestOutboxWritesTogether(t *testing.T) {
	o, w := newGatedOutbox(t)
	o.put([]byte("a"))
	if got := next(t, w.wrote, "the first write"); string(got) != "a" {
		t.Errorf("wrote %q, want a", got)
	}
	for _, p := range []string{"b", "c", "d"} {
		if !o.put([]byte(p)) {
			t.Errorf("%s was not taken", p)
		}
	}
	w.answer <- nil
	if got := next(t, w.wrote, "the second write"); string(got) != "bcd" {
		t.Errorf("wrote %q, want bcd", got)
	}
	w.answer <- nil
	close(o.end)
}

// TestOutboxHolds: what is put in between hold and flush goes out at flush, or
// when there is enough of it.
func TestOutboxHolds(t *testing.T) {
	o, w := newGatedOutbox(t)
	o.hold()
	o.put([]byte("a"))
	o.put([]byte("b"))
	if len(o.wake) != 0 {
		t.Error("woken before flush")
	}
	o.put(make([]byte, writeAt))
	if got := next(t, w.wrote, "the write of much"); len(got) != writeAt+2 {
		t.Errorf("wrote %d bytes, want %d", len(got), writeAt+2)
	}
	o.put([]byte("c"))
	o.flush(false)
	w.answer <- nil
	if got := next(t, w.wrote, "the write at flush"); string(got) != "c" {
		t.Errorf("wrote %q, want c", got)
	}
	w.answer <- nil
	close(o.end)
}

// TestOutboxAlone: who is alone writes by itself, and what does not go at once
// is left to the outbox, before what comes later.
func TestOutboxAlone(t *testing.T) {
	for name, room := range map[string]int{"all goes": 5, "some goes": 3, "nothing goes": 0} {
		t.Run(name, func(t *testing.T) {
			o, w := newGatedOutbox(t)
			tried := ""
			o.try = func(p []byte) int {
				tried = string(p[:min(len(p), room)])
				return len(tried)
			}
			put := func(p string) {
				o.hold()
				o.put([]byte(p))
				o.flush(true)
			}
			put("abcde")
			if tried != "abcde"[:room] {
				t.Errorf("the caller wrote %q, want the first %d bytes", tried, room)
			}
			if left := "abcde"[room:]; left != "" {
				if got := next(t, w.wrote, "what did not go at once"); string(got) != left {
					t.Errorf("wrote %q, want %q", got, left)
				}
				put("f") // somebody writes
				w.answer <- nil
				if got := next(t, w.wrote, "what came meanwhile"); string(got) != "f" {
					t.Errorf("wrote %q, want f", got)
				}
				w.answer <- nil
			}
			close(o.end)
		})
	}
}

// TestOutboxAdmits: publishers wait while it is full of what was put in or
// admitted, and are told when to go on.
func TestOutboxAdmits(t *testing.T) {
	o, w := newGatedOutbox(t)
	if o.admit(10*outboxLimit) != nil {
		t.Error("a large message is not admitted to an empty outbox")
	}
	if o.admit(1) == nil {
		t.Error("more is admitted before that has arrived")
	}
	o.arrived(10 * outboxLimit)
	if o.admit(1) != nil {
		t.Error("nothing is admitted though nothing waits")
	}
	o.arrived(1)
	o.put([]byte("a"))
	next(t, w.wrote, "the first write")
	o.put(make([]byte, outboxLimit))
	room := o.admit(1)
	if room == nil || o.admit(1) != room {
		t.Fatal("a full outbox admits more, or says in two ways that it does not")
	}
	w.answer <- nil
	for got := 0; got < outboxLimit; {
		p := next(t, w.wrote, "a piece")
		if len(p) > pieceSize {
			t.Errorf("a piece has %d bytes, want %d at most", len(p), pieceSize)
		}
		got += len(p)
		w.answer <- nil
	}
	next(t, room, "room")
	if o.admit(1) != nil {
		t.Error("full although everything was written")
	}
	close(o.end)
}

// TestOutboxEnds: a write that fails is the last one, and what comes after the
// connection's end is not taken.
func TestOutboxEnds(t *testing.T) {
	o, w := newGatedOutbox(t)
	o.put([]byte("a"))
	next(t, w.wrote, "the write")
	w.answer <- errors.New("broken pipe")
	next(t, o.done, "the end of the outbox")
	close(o.end) // as the socket does
	if o.put([]byte("b")) {
		t.Error("taken after the end")
	}
}

// TestTryWriter: it writes what the socket takes at once, and never waits.
func TestTryWriter(t *testing.T) {
	client, server := tcpPair(t)
	try := tryWriter(client)
	if try == nil {
		return // not on this system
	}
	sent := 0
	for range 1000 { // far more than any socket takes that nobody reads
		n := try(make([]byte, 1<<20))
		sent += n
		if n == 0 {
			break
		}
	}
	if sent == 0 || sent == 1000<<20 {
		t.Errorf("a socket that nobody reads took %d bytes", sent)
	}
	client.Close()
	if n := try([]byte("a")); n != 0 {
		t.Errorf("a closed connection took %d bytes", n)
	}
	if got, err := io.Copy(io.Discard, server); err != nil || got != int64(sent) {
		t.Errorf("%d bytes arrived (%v), and %d were written", got, err, sent)
	}
	if tryWriter(tls.Client(client, nil)) != nil {
		t.Error("what TLS has not encrypted is written by itself")
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (client, server net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}
