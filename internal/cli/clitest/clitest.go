// Package clitest runs the tests of the command-line programs on every broker.
package clitest

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/warrenmq/warren/adapters/memory"   // memory://
	_ "github.com/warrenmq/warren/adapters/rabbitmq" // amqp://
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Timeout is how long a test waits for what must come.
const Timeout = 30 * time.Second

// Everywhere runs test on the broker in memory and on RabbitMQ, with a queue
// name of its own. The difference is the URL.
func Everywhere(t *testing.T, test func(t *testing.T, broker messaging.Broker, queue string)) {
	for name, url := range map[string]func(testing.TB) string{
		"memory":   func(testing.TB) string { return "memory://" },
		"rabbitmq": rabbitmqtest.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := Open(t, url(t))
			test(t, broker, Queue(t, broker))
		})
	}
}

// Open opens a broker and closes it when the test ends.
func Open(t *testing.T, url string) messaging.Broker {
	t.Helper()
	broker, err := messaging.Open(Context(t), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), Timeout)
		defer cancel()
		if err := broker.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return broker
}

// Queue returns a name that nobody else uses, and deletes the queue and the
// one for its dead letters when the test ends.
func Queue(t *testing.T, broker messaging.Manager) string {
	t.Helper()
	name := unique()
	remove(t, broker, messaging.Queue(name), messaging.Queue(name+".dead"))
	return name
}

// Topic returns a name that nobody else uses, and deletes the topic when the
// test ends, with the queues of these groups and those for their dead letters.
func Topic(t *testing.T, broker messaging.Manager, groups ...string) string {
	t.Helper()
	name := unique()
	remove(t, broker, messaging.Topic(name))
	for _, group := range groups {
		queue := messaging.Source{Address: messaging.Topic(name), Group: group}.Queue().Name()
		remove(t, broker, messaging.Queue(queue), messaging.Queue(queue+".dead"))
	}
	return name
}

func unique() string { return "test-" + strings.ToLower(rand.Text()[:12]) }

// remove deletes addresses when the test ends.
func remove(t *testing.T, broker messaging.Manager, all ...messaging.Address) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), Timeout)
		defer cancel()
		for _, a := range all {
			if err := broker.Delete(ctx, a); err != nil {
				t.Errorf("delete: %v", err)
			}
		}
	})
}

// Context ends when the test has taken too long.
func Context(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	t.Cleanup(cancel)
	return ctx
}

// Receive takes n messages out of a queue, in order.
func Receive(t *testing.T, broker messaging.Subscriber, queue string, n int) []*messaging.Delivery {
	t.Helper()
	return ReceiveFrom(t, broker, messaging.Source{Address: messaging.Queue(queue)}, n)
}

// ReceiveFrom takes the next n messages of a source, in order.
func ReceiveFrom(t *testing.T, broker messaging.Subscriber, src messaging.Source, n int) []*messaging.Delivery {
	t.Helper()
	var all []*messaging.Delivery
	for m, err := range messaging.Messages(Context(t), broker, src, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Settle(nil); err != nil {
			t.Fatal(err)
		}
		if all = append(all, &m.Delivery); len(all) == n {
			return all
		}
	}
	t.Fatalf("received %d messages of %d", len(all), n)
	return nil
}

// Screen is what a program has written so far.
type Screen struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

// Write implements [io.Writer].
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return s.text.Write(p)
}

// String returns all of it.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Lines returns all of it, line by line.
func (s *Screen) Lines() []string {
	return strings.Split(strings.TrimSuffix(s.String(), "\n"), "\n")
}

// Await waits until text is to be read n times.
func (s *Screen) Await(t *testing.T, text string, n int) {
	t.Helper()
	timeout := time.NewTimer(Timeout)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed, found := s.changed, strings.Count(s.text.String(), text)
		s.mu.Unlock()
		if found >= n {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("waited in vain for %q, %d times; on the screen is:\n%s", text, n, s)
		}
	}
}
