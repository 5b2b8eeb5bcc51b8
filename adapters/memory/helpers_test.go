package memory_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

var work = messaging.Queue("work")

// bubble runs f in a synctest bubble with a Broker that has the queue "work".
// It fails when goroutines are left after Close.
func bubble(t *testing.T, f func(t *testing.T, b *memory.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: work.Name()}))
		f(t, b)
		closed := b.Health().State == messaging.Closed // by f, which has seen how
		if err := b.Close(context.Background()); !closed {
			must(t, err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want %v", err, target)
	}
}

func publish(t *testing.T, b *memory.Broker, to messaging.Address, texts ...string) {
	t.Helper()
	must(t, b.Publish(context.Background(), to, messages(texts...)...))
}

func messages(texts ...string) []*messaging.Message {
	msgs := make([]*messaging.Message, len(texts))
	for i, s := range texts {
		msgs[i] = &messaging.Message{Body: []byte(s)}
	}
	return msgs
}

// numbered returns the texts "0" to "n-1".
func numbered(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint(i)
	}
	return texts
}

// expectInfo waits until nothing moves, and then counts.
func expectInfo(t *testing.T, b *memory.Broker, a messaging.Address, ready, unsettled, consumers int) {
	t.Helper()
	synctest.Wait()
	got, err := b.Inspect(context.Background(), a)
	must(t, err)
	if want := (messaging.QueueInfo{Address: a, Ready: ready, Unsettled: unsettled, Consumers: consumers}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func get(t *testing.T, b *memory.Broker, a messaging.Address) *messaging.Pending {
	t.Helper()
	synctest.Wait()
	p, err := b.Get(context.Background(), messaging.Source{Address: a})
	must(t, err)
	return p
}

// texts takes and acknowledges all that is ready in a queue.
func texts(t *testing.T, b *memory.Broker, a messaging.Address) string {
	t.Helper()
	synctest.Wait()
	var all []string
	for {
		p, err := b.Get(context.Background(), messaging.Source{Address: a})
		if errors.Is(err, messaging.ErrEmpty) {
			return strings.Join(all, " ")
		}
		must(t, err)
		must(t, p.Settle(nil))
		all = append(all, string(p.Body))
	}
}

func expectTexts(t *testing.T, b *memory.Broker, a messaging.Address, want string) {
	t.Helper()
	if got := texts(t, b, a); got != want {
		t.Fatalf("%s has %q, want %q", a, got, want)
	}
}

// running is a Subscribe in a goroutine of its own.
type running struct {
	t     *testing.T
	stop  context.CancelFunc
	ended chan error
	ready chan struct{} // one for each call of Ready
}

func subscribe(t *testing.T, b *memory.Broker, src messaging.Source, h messaging.Handler) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, stop: cancel, ended: make(chan error, 1), ready: make(chan struct{}, 100)}
	src.Ready = func() { r.ready <- struct{}{} }
	if src.Address.IsZero() {
		src.Address = work
	}
	go func() { r.ended <- b.Subscribe(ctx, src, h) }()
	synctest.Wait()
	return r
}

// readyTimes says how often Ready was called since it was asked last.
func (r *running) readyTimes() int {
	for n := 0; ; n++ {
		select {
		case <-r.ready:
		default:
			return n
		}
	}
}

// end stops the subscription, and expects no error.
func (r *running) end() {
	r.t.Helper()
	r.stop()
	must(r.t, <-r.ended)
}

// station is a handler that takes note of each delivery and waits for its
// verdict.
type station struct {
	verdicts chan error

	mu   sync.Mutex
	seen []messaging.Delivery
}

func newStation() *station { return &station{verdicts: make(chan error)} }

func (s *station) handle(_ context.Context, d *messaging.Delivery) error {
	s.note(d)
	return <-s.verdicts
}

func (s *station) note(d *messaging.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, *d)
}

// accept notes the delivery and acknowledges it.
func (s *station) accept(_ context.Context, d *messaging.Delivery) error {
	s.note(d)
	return nil
}

// deliveries waits until nothing moves, and returns what has come.
func (s *station) deliveries() []messaging.Delivery {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]messaging.Delivery(nil), s.seen...)
}

func (s *station) texts() string {
	var all []string
	for _, d := range s.deliveries() {
		all = append(all, string(d.Body))
	}
	return strings.Join(all, " ")
}

func (s *station) expect(t *testing.T, want string) {
	t.Helper()
	if got := s.texts(); got != want {
		t.Fatalf("handled %q, want %q", got, want)
	}
}
