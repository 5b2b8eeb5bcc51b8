package peers

import (
	"net"
	"strings"
	"testing"
)

// ack is the frame of a basic.ack (AMQP 0-9-1, section 1.8.3.13).
func ack(tag byte, multiple byte) string {
	return "\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x50" + strings.Repeat("\x00", 7) + string([]byte{tag, multiple}) + "\xce"
}

const heartbeat = "\x08\x00\x00\x00\x00\x00\x00\xce"

// read gives the parts to a socket, one read each, and returns what it says
// after each.
func read(t *testing.T, parts ...string) (confirmed []int, err error) {
	t.Helper()
	broker, client := net.Pipe()
	defer client.Close()
	go func() {
		defer broker.Close()
		for _, p := range parts {
			if _, err := broker.Write([]byte(p)); err != nil {
				return
			}
		}
	}()
	s := &wireSocket{Conn: client}
	for range parts {
		n, err := s.confirmations()
		if err != nil {
			return confirmed, err
		}
		confirmed = append(confirmed, n)
	}
	return confirmed, nil
}

func TestWireCountsConfirmations(t *testing.T) {
	half := len(ack(7, 1)) / 2
	got, err := read(t, ack(1, 0)+ack(5, 1), heartbeat+ack(7, 1)[:half], ack(7, 1)[half:])
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0] != 5 || got[1] != 0 || got[2] != 2 {
		t.Errorf("confirmed %v, want 5, none, 2", got)
	}
}

func TestWireFindsWhatIsNoConfirmation(t *testing.T) {
	for what, want := range map[string]string{
		ack(3, 0):             "3 after 0",
		ack(2, 1) + ack(2, 0): "2 after 2",
		"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x32\xce": "method 60.50",
	} {
		if _, err := read(t, what); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
