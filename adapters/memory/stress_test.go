package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// ledger counts what became of every message.
type ledger struct {
	mu        sync.Mutex
	published map[string]bool
	done      map[string]int // acknowledged, or rejected
}

func (l *ledger) publish(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published[id] = true
}

func (l *ledger) finish(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[id]++
}

// check says what is wrong. exactly allows no duplicates.
func (l *ledger) check(t *testing.T, exactly bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, twice := 0, 0
	for id := range l.published {
		switch n := l.done[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	for id := range l.done {
		if !l.published[id] {
			t.Errorf("%s came from nowhere", id)
		}
	}
	if lost > 0 || exactly && twice > 0 {
		t.Errorf("of %d messages %d were lost and %d done twice", len(l.published), lost, twice)
	}
}

// TestStress has publishers and subscriptions do random things to one queue
// and its dead letters, with subscriptions that come and go. Without faults
// every message is done exactly once, with them at least once.
func TestStress(t *testing.T) {
	for seed := range uint64(20) {
		for _, faults := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed=%d/faults=%v", seed, faults), func(t *testing.T) {
				bubble(t, func(t *testing.T, b *memory.Broker) { stress(t, b, seed, faults) })
			})
		}
	}
}

func stress(t *testing.T, b *memory.Broker, seed uint64, faults bool) {
	l := &ledger{published: map[string]bool{}, done: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var publishers, others sync.WaitGroup
	for i := range uint64(3) {
		publishers.Go(func() { stressPublish(t, b, l, rand.New(rand.NewPCG(seed, i))) })
		others.Go(func() { stressSubscribe(t, ctx, b, l, rand.New(rand.NewPCG(seed, 100+i))) })
	}
	if faults {
		others.Go(func() { stressFaults(ctx, b, rand.New(rand.NewPCG(seed, 200))) })
	}
	publishers.Wait()
	for ctx.Err() == nil {
		time.Sleep(time.Minute) // longer than any delay or retry
		synctest.Wait()
		if info, err := b.Inspect(ctx, work); err != nil || info.Ready+info.Unsettled == 0 {
			must(t, err)
			stop()
		}
	}
	others.Wait()
	l.check(t, !faults)
	expectInfo(t, b, work, 0, 0, 0)
	if n := b.Health().Subscriptions; n != 0 {
		t.Errorf("Health counts %d subscriptions", n)
	}
}

func stressPublish(t *testing.T, b *memory.Broker, l *ledger, random *rand.Rand) {
	for range 200 {
		msgs := make([]*messaging.Message, 1+random.IntN(5))
		for i := range msgs {
			msgs[i] = &messaging.Message{ID: messaging.NewID()}
			msgs[i].Body = []byte(msgs[i].ID)
			if random.IntN(4) == 0 {
				msgs[i].Delay = time.Duration(random.IntN(1000)) * time.Millisecond
			}
			l.publish(msgs[i].ID)
		}
		if err := b.Publish(context.Background(), work, msgs...); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	}
}

func stressSubscribe(t *testing.T, ctx context.Context, b *memory.Broker, l *ledger, random *rand.Rand) {
	for ctx.Err() == nil {
		stint, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(2000))*time.Millisecond)
		src := messaging.Source{
			Address:     work,
			Concurrency: 1 + random.IntN(4),
			Retry:       messaging.Retry{MaxAttempts: -1, Min: time.Millisecond, Max: time.Second},
		}
		src.Prefetch = src.Concurrency + random.IntN(10)
		if random.IntN(2) == 0 {
			src.OrderBy = func(d *messaging.Delivery) string { return d.ID[35:] }
		}
		if err := b.Subscribe(stint, src, stressHandler(t, l)); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

func stressHandler(t *testing.T, l *ledger) messaging.Handler {
	return func(_ context.Context, d *messaging.Delivery) error {
		time.Sleep(rand.N(10 * time.Millisecond))
		if string(d.Body) != d.ID {
			t.Errorf("message %s has the body %q", d.ID, d.Body)
		}
		clear(d.Body)
		switch rand.IntN(10) {
		case 0:
			return errors.New("fails")
		case 1:
			return messaging.RetryAfter(rand.N(100*time.Millisecond), nil)
		case 2:
			return messaging.Requeue(nil)
		case 3:
			l.finish(d.ID)
			return messaging.Reject(nil)
		default:
			l.finish(d.ID)
			return nil
		}
	}
}

func stressFaults(ctx context.Context, b *memory.Broker, random *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		switch random.IntN(3) {
		case 0:
			b.CancelConsumers(work)
		case 1:
			b.Disconnect()
		case 2:
			b.Block("alarm")
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		b.Reconnect()
		b.Unblock()
	}
}
