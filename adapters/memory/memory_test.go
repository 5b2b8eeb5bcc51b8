package memory_test

import (
	"context"
	"runtime"
	"testing"
	"unsafe"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestAllocatedMemoryFollowsTheQueue fills a queue and empties it again.
func TestAllocatedMemoryFollowsTheQueue(t *testing.T) {
	const n, body = 50_000, 256
	b := memory.New()
	must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "work"}))
	before := heap()
	for range n {
		must(t, b.Publish(context.Background(), work, &messaging.Message{Body: make([]byte, body)}))
	}
	itself := float64(unsafe.Sizeof(messaging.Message{})) + body + 36 // its ID
	if got := float64(heap()-before) / n; got > 2*itself {
		t.Errorf("%.0f bytes a waiting message of %.0f bytes, want at most twice that", got, itself)
	}

	ctx, cancel := context.WithCancel(t.Context())
	left := n
	must(t, b.Subscribe(ctx, messaging.Source{Address: work}, func(context.Context, *messaging.Delivery) error {
		if left--; left == 0 {
			cancel()
		}
		return nil
	}))
	if got := float64(heap()-before) / n; got > itself/20 {
		t.Errorf("%.0f bytes for each message that is gone", got)
	}
	must(t, b.Close(t.Context()))
}

// heap is what is in use after what is pooled has been given up.
func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
