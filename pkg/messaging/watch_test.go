package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// patient is a Broker of which only Health works, and which is no Watcher.
type patient struct {
	messaging.Broker
	mu     sync.Mutex
	health messaging.Health
	asked  int
}

func (p *patient) Health() messaging.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return p.health
}

func (p *patient) set(change func(h *messaging.Health)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.health)
}

// talker is a patient that is a Watcher.
type talker struct {
	patient
	changes messaging.Changes
}

func (t *talker) HealthChanged() <-chan struct{} { return t.changes.Next() }

func (t *talker) set(change func(h *messaging.Health)) {
	t.patient.set(change)
	t.changes.Notify()
}

var _ messaging.Watcher = (*talker)(nil)

// TestWatch: each change that counts is told at once, and no other.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b talker
		var told []string
		ended := make(chan struct{})
		start := time.Now()
		go func() {
			defer close(ended)
			for h := range messaging.Watch(t.Context(), &b) {
				told = append(told, fmt.Sprintf("%s: %s %d %s", time.Since(start), h.State, h.Subscriptions, h.BlockedReason))
			}
		}()
		for _, change := range []func(h *messaging.Health){
			func(*messaging.Health) {},
			func(h *messaging.Health) { h.LastError = errors.New("no change on its own") },
			func(h *messaging.Health) { h.State, h.Since = messaging.Connected, time.Now() },
			func(h *messaging.Health) { h.Since = time.Now() }, // it was lost and is back
			func(h *messaging.Health) { h.Subscriptions = 2 },
			func(h *messaging.Health) { h.Blocked, h.BlockedReason = true, "disk" },
			func(h *messaging.Health) { h.BlockedReason = "memory" },
			func(h *messaging.Health) { h.Blocked = false },
			func(h *messaging.Health) { h.State = messaging.Closed },
			func(h *messaging.Health) { h.State = messaging.Connected }, // after the end
		} {
			time.Sleep(time.Minute)
			b.set(change)
			synctest.Wait()
		}
		<-ended
		want := []string{
			"0s: connecting 0 ",
			"3m0s: connected 0 ", "4m0s: connected 0 ", "5m0s: connected 2 ",
			"6m0s: connected 2 disk", "7m0s: connected 2 memory", "8m0s: connected 2 memory", "9m0s: closed 2 memory",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if b.asked > 11 {
			t.Errorf("Health was asked %d times for 9 changes", b.asked)
		}
	})
}

// TestWatchAsks: a Broker that tells nothing is asked once a second.
func TestWatchAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b patient
		start := time.Now()
		time.AfterFunc(1500*time.Millisecond, func() { b.set(func(h *messaging.Health) { h.Subscriptions = 1 }) })
		time.AfterFunc(59500*time.Millisecond, func() { b.set(func(h *messaging.Health) { h.State = messaging.Closed }) })
		var told []time.Duration
		for range messaging.Watch(t.Context(), &b) {
			told = append(told, time.Since(start))
		}
		if !slices.Equal(told, []time.Duration{0, 2 * time.Second, time.Minute}) || b.asked != 61 {
			t.Errorf("told at %s, and asked %d times", told, b.asked)
		}
	})
}

// TestWatchEnds: it ends with its context, with break, and before it begins.
func TestWatchEnds(t *testing.T) {
	for name, b := range map[string]messaging.Broker{"told": &talker{}, "asked": &patient{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
				defer cancel()
				start, n := time.Now(), 0
				for range messaging.Watch(ctx, b) {
					n++
				}
				if took := time.Since(start); n != 1 || took != 90*time.Minute {
					t.Errorf("told %d times, and ended after %s", n, took)
				}
				for range messaging.Watch(ctx, b) {
					t.Error("told after its context had ended")
				}
				for range messaging.Watch(t.Context(), b) {
					break
				}
			})
		})
	}
}

// TestWatchMissesNoLastState: whatever changes while it looks, the last state is
// told.
func TestWatchMissesNoLastState(t *testing.T) {
	const rounds, changes = 200, 50
	for range rounds {
		var b talker
		var last int
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for h := range messaging.Watch(t.Context(), &b) {
				if h.Subscriptions < last {
					t.Errorf("%d was told after %d", h.Subscriptions, last)
				}
				if last = h.Subscriptions; last == changes {
					return
				}
			}
		}()
		for i := range changes {
			b.set(func(h *messaging.Health) { h.Subscriptions = i + 1 })
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatalf("Watch does not tell of the last of %d changes", changes)
		}
	}
}
