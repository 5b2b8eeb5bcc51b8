package differential

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestDifferentialQuorumLimit is the relation for what programs leave out: a
// quorum queue that rejects takes some more than its MaxLength, since it counts
// what it has agreed on and not what is on its way, and it goes on refusing for
// a while once there is room.
func TestDifferentialQuorumLimit(t *testing.T) {
	t.Parallel()
	const limit, more = 5, 5
	m := memory.New(memory.WithLogger(quiet))
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	if n := fill(t, m, limit); n != limit {
		t.Errorf("memory took %d messages, not %d", n, limit)
	}
	if n := fill(t, newComparison(t, true).broker, limit); n < limit || n > limit+more {
		t.Errorf("RabbitMQ took %d messages, not %d to %d", n, limit, limit+more)
	}
}

// fill publishes to a queue until it refuses, and returns how many messages it
// took. Once it is purged, it must take messages again.
func fill(t *testing.T, b messaging.Broker, limit int) (taken int) {
	t.Helper()
	q := messaging.Queue("differential.limit." + messaging.NewID())
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: q.Name(), MaxLength: limit}); err != nil {
		t.Fatal(err)
	}
	err := b.Publish(t.Context(), q, &messaging.Message{})
	for ; err == nil; err = b.Publish(t.Context(), q, &messaging.Message{}) {
		taken++
	}
	if !errors.Is(err, messaging.ErrRejected) {
		t.Fatalf("a full queue: %v", err)
	}
	if n, err := b.Purge(t.Context(), q); err != nil || n != taken {
		t.Errorf("Purge of %d messages: %d, %v", taken, n, err)
	}
	for limit := time.Now().Add(patience); b.Publish(t.Context(), q, &messaging.Message{}) != nil; pass(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("a queue with room goes on refusing")
		}
	}
	if err := b.Delete(t.Context(), q); err != nil {
		t.Error(err)
	}
	return taken
}
