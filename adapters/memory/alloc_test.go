package memory_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestAllocInTransit has a consumer that keeps up: what one message leaves
// behind is used again by the next.
func TestAllocInTransit(t *testing.T) {
	const n = 10_000
	b := memory.New()
	must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
	handled := make(chan struct{})
	end := begin(t, b, messaging.Source{Address: work}, func(context.Context, *messaging.Delivery) error {
		handled <- struct{}{}
		return nil
	})
	m := &messaging.Message{Body: make([]byte, 256)}
	msgs := []*messaging.Message{m}
	before := mallocs()
	for range n {
		m.ID = ""
		must(t, b.Publish(t.Context(), work, msgs...))
		<-handled
	}
	if got := float64(mallocs()-before) / n; got > 3.1 {
		t.Errorf("%.2f allocations a message, want at most 3: its ID, the Delivery and its body", got)
	}
	end()
	must(t, b.Close(t.Context()))
}

// begin subscribes, with the real clock, until the function that it returns is
// called.
func begin(tb testing.TB, b *memory.Broker, src messaging.Source, h messaging.Handler) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{}, 1)
	src.Ready = func() { ready <- struct{}{} }
	go func() { ended <- b.Subscribe(ctx, src, h) }()
	<-ready
	return func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
