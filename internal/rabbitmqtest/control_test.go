package rabbitmqtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/testsecret"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestEval(t *testing.T) {
	t.Parallel()
	n := SharedNode(t)
	for expr, want := range map[string]string{
		"1 + 1":            "2",
		"X = 3, X * 2.":    "6",
		`"text"`:           `"text"`,
		"{a, [1, {b}]}.\n": "{a, [1, {b}]}",
	} {
		if got, err := n.Eval(expr); err != nil || got != want {
			t.Errorf("Eval(%q) = %q, %v; want %q", expr, got, err, want)
		}
	}
	for _, expr := range []string{"no_such:function()", "1 +", "error(bad)"} {
		if got, err := n.Eval(expr); err == nil {
			t.Errorf("Eval(%q) = %q, want an error", expr, got)
		}
	}
}

func TestEvalFromManyGoroutines(t *testing.T) {
	t.Parallel()
	n := SharedNode(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := n.Eval("node()"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestEvalInANodeThatIsDown(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{})
	n.Kill()
	if got, err := n.Eval("1"); err == nil {
		t.Errorf("got %q, want an error", got)
	}
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{})
	for resource, set := range map[string]func(bool) error{"memory": n.SetMemoryAlarm, "disk": n.SetDiskAlarm} {
		for _, on := range []bool{true, false, true} {
			if err := set(on); err != nil {
				t.Fatal(err)
			}
			alarms, err := n.Eval("rabbit_alarm:get_alarms()")
			if err != nil || strings.Contains(alarms, resource) != on {
				t.Errorf("alarms are %s (%v), want %s among them: %v", alarms, err, resource, on)
			}
		}
	}
}

func TestCloseConnectionByName(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{})
	publish := login(t, n.Addr(), "app publish")
	consume := login(t, n.Addr(), "app consume")
	nameless := login(t, n.Addr(), "")

	wantClosed(t, n, "app pub", 1)
	wantClosedBy(t, publish)
	wantClosed(t, n, "no such prefix", 0)
	wantClosed(t, n, "", 2)
	wantClosedBy(t, consume)
	wantClosedBy(t, nameless)
}

func wantClosed(t *testing.T, n *Node, prefix string, want int) {
	t.Helper()
	if got, err := n.CloseConnection(prefix); err != nil || got != want {
		t.Errorf("CloseConnection(%q) = %d, %v; want %d", prefix, got, err, want)
	}
}

// wantClosedBy waits for connection.close (class 10, method 50).
func wantClosedBy(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := readMethod(conn, 10, 50); err != nil {
		t.Error(err)
	}
}

// login opens an AMQP connection as guest under a name, by hand: this package
// must not import a client library.
func login(t *testing.T, addr, name string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := greet(conn); err != nil {
		t.Fatal(err)
	}
	var end [1]byte
	_, _ = io.ReadFull(conn, end[:])
	sendMethod(t, conn, 10, 11, table(name), short("PLAIN"), long("\x00guest\x00"+testsecret.Password), short("en_US"))
	if err := readMethod(conn, 10, 30); err != nil { // tune
		t.Fatal(err)
	}
	sendMethod(t, conn, 10, 31, "\x07\xff", "\x00\x02\x00\x00", "\x00\x00") // tune-ok: 2047, 131072, 0
	sendMethod(t, conn, 10, 40, short("/"), short(""), "\x00")              // open
	if err := readMethod(conn, 10, 41); err != nil {
		t.Fatal(err)
	}
	return conn
}

func short(s string) string { return string(rune(len(s))) + s }

func long(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func table(connectionName string) string {
	if connectionName == "" {
		return long("")
	}
	return long(short("connection_name") + "S" + long(connectionName))
}

func sendMethod(t *testing.T, conn net.Conn, class, method uint16, args ...string) {
	t.Helper()
	body := binary.BigEndian.AppendUint16(nil, class)
	body = binary.BigEndian.AppendUint16(body, method)
	body = append(body, strings.Join(args, "")...)
	frame := append([]byte{1, 0, 0}, long(string(body))...)
	if _, err := conn.Write(append(frame, 0xCE)); err != nil {
		t.Fatal(err)
	}
}

// readMethod reads one frame and fails where it is not the method.
func readMethod(conn net.Conn, class, method uint16) error {
	var head [7]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	want := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, class), method)
	if !bytes.HasPrefix(body, want) {
		return errors.New("got another method: " + string(body))
	}
	return nil
}

// endThreads makes threads of this process come and go: a goroutine that ends
// locked to its thread takes the thread with it.
func endThreads() {
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() { runtime.LockOSThread() })
	}
	all.Wait()
}

// TestPID: a node that does not answer is not taken for one that is down.
func TestPID(t *testing.T) {
	t.Parallel()
	n := NewNode(t, Options{})
	if pid, err := n.PID(); err != nil || pid != n.proc.PID {
		t.Errorf("PID() = %d, %v; want %d", pid, err, n.proc.PID)
	}
	if err := n.Freeze(); err != nil {
		t.Fatal(err)
	}
	if pid, err := n.PID(); err == nil {
		t.Errorf("of a frozen node, PID() = %d, and no error", pid)
	}
	if err := n.Thaw(); err != nil {
		t.Fatal(err)
	}
	n.Kill()
	if pid, err := n.PID(); pid != 0 || err != nil {
		t.Errorf("of a node that is down, PID() = %d, %v; want 0", pid, err)
	}
}
