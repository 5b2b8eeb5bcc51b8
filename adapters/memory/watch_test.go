package memory_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestWatch: the faults on demand are told at once, as they are in Health.
func TestWatch(t *testing.T) {
	bubble(t, func(t *testing.T, b *memory.Broker) {
		r := subscribe(t, b, messaging.Source{Address: work}, newStation().accept)
		synctest.Wait()
		var told []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for h := range messaging.Watch(t.Context(), b) {
				told = append(told, h.String())
			}
		}()
		begin := time.Now()
		for _, fault := range []func(){
			b.Disconnect,
			b.Reconnect,
			func() { b.Block("disk alarm") },
			b.Unblock,
			b.HoldConfirms, // is not in Health
			b.ReleaseConfirms,
			r.end,
			func() { must(t, b.Close(context.Background())) },
		} {
			synctest.Wait()
			time.Sleep(time.Minute)
			fault()
		}
		<-ended
		at := func(minute time.Duration) string { return begin.Add(minute * time.Minute).UTC().Format(time.RFC3339) }
		const lost = ", last error: the connection was lost"
		passing := []string{"connecting since " + at(1) + ", 1 subscriptions" + lost, "connected since " + at(2) + ", 0 subscriptions" + lost}
		settled := 0 // of told, without what may be seen in passing, and may not
		for i, h := range told {
			if i == len(told)-2 || !slices.Contains(passing, h) {
				told[settled] = h
				settled++
			}
		}
		want := []string{
			"connected since " + at(0) + ", 1 subscriptions",
			"connecting since " + at(1) + ", 0 subscriptions" + lost,
			"connected since " + at(2) + ", 1 subscriptions" + lost,
			"connected since " + at(2) + ", 1 subscriptions, blocked: disk alarm" + lost,
			"connected since " + at(2) + ", 1 subscriptions" + lost,
			"connected since " + at(2) + ", 0 subscriptions" + lost,
			"closed since " + at(8) + ", 0 subscriptions" + lost,
		}
		if told = told[:settled]; !slices.Equal(told, want) {
			t.Errorf("told\n%q, want\n%q", told, want)
		}
	})
}
