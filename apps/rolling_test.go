package apps

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// tally counts the messages that programs print, from any of them.
type tally struct {
	mu      sync.Mutex
	times   map[string]int
	changed chan struct{} // closed at the next one
}

func newTally() *tally { return &tally{times: map[string]int{}, changed: make(chan struct{})} }

// of returns a writer for one program's output, which counts the texts of the
// lines that begin so.
func (c *tally) of(begin string) io.Writer { return &tallied{tally: c, begin: []byte(begin + "'")} }

type tallied struct {
	*tally
	begin, rest []byte
}

// Write implements [io.Writer].
func (w *tallied) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.rest = rest
		if text, ok := bytes.CutPrefix(line, w.begin); ok {
			text, _, _ = bytes.Cut(text, []byte("'"))
			w.add(string(text))
		}
	}
}

func (c *tally) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times[text]++
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *tally) count() (different int, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times), c.changed
}

// await waits until there are n different texts.
func (c *tally) await(t *testing.T, what string, n int) {
	t.Helper()
	for {
		got, changed := c.count()
		if got >= n {
			return
		}
		select {
		case <-changed:
		case <-time.After(clitest.Timeout): // since the last one
			t.Fatalf("%d messages were %s, want %d", got, what, n)
		}
	}
}

// A rolling restart as an orchestrator does it: a new consumer, and once that is
// ready, SIGTERM to an old one, which has its grace period to end. Under load,
// nothing is lost, and nothing comes twice.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	sent, received := newTally(), newTally()

	replica := func() *process {
		c := start(t, command(t, url, "consumer", "--queue", queue, "--http", "0",
			"--workers", "4", "--prefetch", "10", "--work", "5ms", "--shutdown-timeout", "20s"), received.of(" [x] Received "))
		awaitCurl(t, c.served(t)+"/readyz", http.StatusOK, "ready\n")
		return c
	}
	terminate := func(c *process) {
		at := c.served(t)
		c.signal(t, syscall.SIGTERM)
		c.stderr.Await(t, "Stopping", 1)
		if status, body := curl(at + "/readyz"); status != 0 && status != http.StatusServiceUnavailable { // 0: it has ended
			t.Errorf("a consumer that is told to end answers %d %q", status, body)
		}
		c.ends(t, cli.StatusOK)
		c.stdout.Await(t, "returned to the queue 0\n", 1)
	}

	replicas := []*process{replica(), replica()}
	cmd := command(t, url, "producer", "--queue", queue, "--rate", "400", "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, cmd, sent.of(" [x] Sent "))
	var feeding sync.WaitGroup
	stop := make(chan struct{})
	written := 0
	feeding.Go(func() {
		defer stdin.Close()
		for ; ; written++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := fmt.Fprintf(stdin, "message %d.\n", written); err != nil {
				return // the producer has ended, which is seen below
			}
		}
	})

	const rounds, progress = 4, 150
	for i := range rounds {
		old := replicas[i%len(replicas)]
		replicas[i%len(replicas)] = replica()
		terminate(old)
		n, _ := received.count()
		received.await(t, "received", n+progress)
	}
	close(stop)
	feeding.Wait()
	p.ends(t, cli.StatusOK)
	sent.await(t, "sent", written)
	received.await(t, "received", written)
	for _, c := range replicas {
		terminate(c)
	}
	for text, times := range received.times {
		if times != 1 || sent.times[text] != 1 {
			t.Errorf("%q was sent %d times and received %d times", text, sent.times[text], times)
		}
	}
	for _, q := range []string{queue, queue + ".dead"} {
		info, err := broker.Inspect(clitest.Context(t), messaging.Queue(q))
		if err != nil || info.Ready != 0 {
			t.Errorf("in %s there are %d messages: %v", q, info.Ready, err)
		}
	}
	t.Logf("%d messages, %d consumers replaced", written, rounds)
}

func TestTally(t *testing.T) {
	c := newTally()
	w := c.of("got ")
	for _, part := range []string{"got 'a", "'\nother 'b'\ngot 'a' (again)\ngot 'c'"} {
		if _, err := io.Copy(w, strings.NewReader(part)); err != nil {
			t.Fatal(err)
		}
	}
	if c.times["a"] != 2 || len(c.times) != 1 {
		t.Errorf("counted %v", c.times)
	}
}
