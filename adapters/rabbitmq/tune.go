package rabbitmq

import (
	"bytes"
	"encoding/binary"
	"io"
)

// largestRead is the largest frame that is read. RabbitMQ does not keep to the
// size agreed where it has added to a message's headers on its way (x-death,
// x-delivery-count): it sends them in one frame all the same. amqp091-go closes
// a connection that brings it more than agreed, and the message would come
// again on the next one, for ever, at the expense of all subscriptions.
const largestRead = 1 << 20

// tuner stands between amqp091-go and the socket while they agree on the size
// of a frame. It lets amqp091-go read frames of up to largestRead, and tells
// the broker that what it proposes is meant, but for the room that is needed for
// what the broker adds.
type tuner struct {
	*socket
	agreed  int    // what may be sent; set once the broker has proposed something
	pending []byte // read, and not taken by amqp091-go yet
	read    bool   // nothing more is to be changed in what is read
	written bool   // nor in what is written
}

// The frames of connection.tune and tune-ok (AMQP 0-9-1, section 1.4.2.5):
// type, channel, size, class, method, channel-max, frame-max, heartbeat, end.
const (
	frameHead  = 1 + 2 + 4
	frameMaxAt = frameHead + 2 + 2 + 2
	tuneSize   = 2 + 2 + 2 + 4 + 2
)

var (
	tuneMethod   = []byte{0, 10, 0, 30}
	tuneOkMethod = []byte{0, 10, 0, 31}
)

// Read implements [io.Reader]. It is called by one goroutine.
func (t *tuner) Read(p []byte) (int, error) {
	if len(t.pending) == 0 {
		if t.read {
			return t.socket.Read(p)
		}
		if err := t.readFrame(); len(t.pending) == 0 {
			return 0, err
		}
	}
	n := copy(p, t.pending)
	t.pending = t.pending[n:]
	return n, nil
}

// readFrame reads one frame into pending, as far as it comes.
func (t *tuner) readFrame() error {
	head := make([]byte, frameHead)
	n, err := io.ReadFull(t.socket, head)
	t.pending = head[:n]
	size := binary.BigEndian.Uint32(head[3:])
	if err != nil || head[0] != 1 || size > 1<<16 { // no method of AMQP: amqp091-go says what is wrong
		t.read = true
		return err
	}
	frame := make([]byte, frameHead+int(size)+1)
	copy(frame, head)
	n, err = io.ReadFull(t.socket, frame[frameHead:])
	t.pending = frame[:frameHead+n]
	if err != nil {
		t.read = true
		return err
	}
	if size == tuneSize && bytes.HasPrefix(frame[frameHead:], tuneMethod) {
		t.agreed = agree(binary.BigEndian.Uint32(frame[frameMaxAt:]))
		binary.BigEndian.PutUint32(frame[frameMaxAt:], largestRead)
		t.read = true
	}
	return nil
}

// largestSent is the largest frame that is sent: half of what is read, so that
// what comes back fits with all that was added on the way.
const largestSent = largestRead / 2

// agree is the size of frames where the broker proposes most; 0 is any. Where
// its frame_max is raised, other programs may have sent headers that are larger
// than the usual frame, and their copies have to fit too.
func agree(most uint32) int {
	if most == 0 || most > largestSent {
		return largestSent
	}
	return int(most)
}

// Write implements [io.Writer]. amqp091-go writes one frame at a time until the
// connection is open.
func (t *tuner) Write(p []byte) (int, error) {
	if !t.written && len(p) == frameHead+tuneSize+1 && bytes.HasPrefix(p[frameHead:], tuneOkMethod) {
		t.written = true
		p = bytes.Clone(p)
		binary.BigEndian.PutUint32(p[frameMaxAt:], uint32(t.agreed))
	}
	return t.socket.Write(p)
}
