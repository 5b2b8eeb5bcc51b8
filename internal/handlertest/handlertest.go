// Package handlertest runs a handler on the memory broker for the tests of
// what is put around handlers. It works in a bubble of testing/synctest and
// outside of one.
package handlertest

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Work is the queue that handlers are subscribed to where the source names none.
var Work = messaging.Queue("work")

// Serve subscribes h, calls steps, and then drains the subscription, which must
// not leave anything behind.
func Serve(t testing.TB, src messaging.Source, h messaging.Handler, steps func(b *memory.Broker)) {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	b := memory.New(memory.WithRecording(), memory.WithLogger(quiet))
	if src.Address.IsZero() {
		src.Address = Work
	}
	ready := make(chan struct{}, 1)
	src.Ready = func() { ready <- struct{}{} }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Subscribe(ctx, src, h) }()
	select {
	case <-ready:
		steps(b)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Subscribe returned %v, want nil: drained", err)
		}
	case err := <-ended:
		t.Error(err)
	}
	stop()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Publish publishes messages, and fails the test where that fails.
func Publish(t testing.TB, b messaging.Publisher, to messaging.Address, msgs ...*messaging.Message) {
	t.Helper()
	if err := b.Publish(t.Context(), to, msgs...); err != nil {
		t.Fatal(err)
	}
}

// Handled waits until every message is settled, and fails the test where that
// takes longer than the test has.
func Handled(t testing.TB, b *memory.Broker) {
	t.Helper()
	if err := b.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
}
