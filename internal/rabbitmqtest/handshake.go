package rabbitmqtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// handshakeTimeout is for a port that takes connections and says nothing.
const handshakeTimeout = 5 * time.Second

// Handshake opens a connection to addr, greets in AMQP 0-9-1 and returns the
// body of the broker's connection.start, in which its product, version and
// cluster name can be read. The connection is closed again. It fails where
// nobody listens, or nobody who answers in AMQP within five seconds.
func Handshake(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	greeting, err := greet(conn)
	if err != nil {
		return "", fmt.Errorf("greet the broker at %s: %w", addr, err)
	}
	return string(greeting), nil
}

// greet sends the protocol header and reads one frame, which must be the
// method connection.start (class 10, method 10) on channel 0.
func greet(conn net.Conn) ([]byte, error) {
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return nil, err
	}
	var head [7]byte // type, channel, size
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[3:])
	if head[0] != 1 || head[1] != 0 || head[2] != 0 || size < 4 || size > 1<<20 {
		return nil, errors.New("the answer is not AMQP 0-9-1")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(body) != 10<<16|10 {
		return nil, errors.New("the answer is not connection.start")
	}
	return body[4:], nil
}
