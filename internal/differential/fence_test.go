package differential

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// fence tells when what is delayed has come, or has been dropped: a message of
// its own follows on the same way, on which none overtakes another. Time does
// not tell: a busy machine takes as much as it needs.
type fence struct {
	t      *testing.T
	broker messaging.Broker
	queue  messaging.Address
	due    map[string]time.Time // of those that were sent and did not come, by ID
}

func newFence(t *testing.T, b messaging.Broker) *fence {
	f := &fence{t: t, broker: b, queue: messaging.Queue("differential.fence." + messaging.NewID()), due: map[string]time.Time{}}
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: f.queue.Name(), Exclusive: true}); err != nil {
		t.Fatal(err)
	}
	return f
}

// after follows what was delayed by d, and returns what to await.
func (f *fence) after(d time.Duration) (id string) {
	m := &messaging.Message{Delay: d}
	if err := f.broker.Publish(f.t.Context(), f.queue, m); err != nil {
		f.t.Fatal(err)
	}
	f.due[m.ID] = time.Now().Add(d)
	return m.ID
}

// await returns when id has come.
func (f *fence) await(id string) {
	due := f.due[id]
	pass(time.Until(due))
	for !f.due[id].IsZero() {
		p, err := messaging.Get(f.t.Context(), f.broker, messaging.Source{Address: f.queue, AutoAck: true})
		switch {
		case err == nil:
			delete(f.due, p.ID)
		case time.Since(due) > time.Minute:
			f.t.Fatalf("a delayed message does not come: %v", err)
		default:
			pass(5 * time.Millisecond)
		}
	}
}
