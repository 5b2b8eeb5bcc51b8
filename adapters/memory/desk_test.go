package memory_test

import (
	"testing"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// collected has three messages handled of which the queue may not know yet,
// and a fourth being handled.
func collected(t *testing.T, b *memory.Broker) (*station, *running) {
	s := newStation()
	r := subscribe(t, b, messaging.Source{Prefetch: 32}, s.handle)
	publish(t, b, work, numbered(6)...)
	for range 3 {
		s.verdicts <- nil
	}
	s.expect(t, "0 1 2 3")
	return s, r
}

func TestAcksAreSeenAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		s, r := collected(t, b)
		expectInfo(t, b, work, 0, 3, 1)
		r.stop()
		expectInfo(t, b, work, 2, 1, 0)
		s.verdicts <- nil
		must(t, <-r.ended)
		expectInfo(t, b, work, 2, 0, 0)
	})
}

func TestAcksSurviveFaults(t *testing.T) {
	for name, fault := range map[string]func(*memory.Broker){
		"disconnect": func(b *memory.Broker) { b.Disconnect(); b.Reconnect() },
		"cancel":     func(b *memory.Broker) { b.CancelConsumers(work) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *memory.Broker) {
				s, r := collected(t, b)
				fault(b)
				close(s.verdicts)
				want := map[string]string{"disconnect": "0 1 2 3 3 4 5", "cancel": "0 1 2 3 4 5"}
				s.expect(t, want[name])
				r.end()
				expectInfo(t, b, work, 0, 0, 0)
			})
		})
	}
}

func TestAcksAtTheEndOfADrain(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		publish(t, b, work, numbered(6)...)
		s := newStation()
		r := subscribe(t, b, messaging.Source{Prefetch: 32, Concurrency: 3}, s.handle)
		r.stop()
		expectInfo(t, b, work, 3, 3, 0)
		close(s.verdicts)
		must(t, <-r.ended)
		expectInfo(t, b, work, 3, 0, 0)
	})
}

func TestAcksGiveRoomAtOnceWhereItMatters(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		q := messaging.Queue("small")
		must(t, b.Declare(t.Context(), messaging.QueueSpec{Name: "small", MaxLength: 1}))
		s := newStation()
		r := subscribe(t, b, messaging.Source{Address: q, Prefetch: 8}, s.handle)
		publish(t, b, q, numbered(9)...)
		s.verdicts <- nil
		s.expect(t, "0 1")
		publish(t, b, q, "9")
		close(s.verdicts)
		s.expect(t, "0 1 2 3 4 5 6 7 8 9")
		r.end()
	})
}

func TestAcksKeepAllWorkersBusy(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		const workers = 16
		publish(t, b, work, numbered(3*workers)...)
		s := newStation()
		r := subscribe(t, b, messaging.Source{Concurrency: workers, Prefetch: workers}, s.handle)
		for n := workers; n <= 3*workers; n++ {
			if got := len(s.deliveries()); got != n {
				t.Fatalf("%d handlers were started, want %d", got, n)
			}
			if n < 3*workers {
				s.verdicts <- nil
			}
		}
		close(s.verdicts)
		r.end()
	})
}
