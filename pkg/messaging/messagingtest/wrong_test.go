package messagingtest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

// wrong is a right broker with some methods replaced by wrong ones.
type wrong struct {
	messaging.Broker
	publish   func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error
	subscribe func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error
}

func (w wrong) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	if w.publish == nil {
		return w.Broker.Publish(ctx, to, msgs...)
	}
	return w.publish(ctx, w.Broker, to, msgs)
}

func (w wrong) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	if w.subscribe == nil {
		return w.Broker.Subscribe(ctx, from, h)
	}
	return w.subscribe(ctx, w.Broker, from, h)
}

// The adapters that are wrong on purpose, each with the case that is meant to
// catch it.
var wrongAdapters = []struct {
	name  string
	fails string
	wrong
}{
	{name: "drops a message", fails: "P1_stored", wrong: wrong{
		publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
			if len(msgs) > 2 {
				msgs = slices.Delete(slices.Clone(msgs), 1, 2)
			}
			return right.Publish(ctx, to, msgs...)
		}}},
	{name: "reorders", fails: "P2_order", wrong: wrong{
		publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
			msgs = slices.Clone(msgs)
			slices.Reverse(msgs)
			return right.Publish(ctx, to, msgs...)
		}}},
	{name: "returns nil for an unroutable message", fails: "P4_unroutable", wrong: wrong{
		publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
			if err := right.Publish(ctx, to, msgs...); !errors.Is(err, messaging.ErrUnroutable) {
				return err
			}
			return nil
		}}},
	{name: "does not say which failed", fails: "P3_failed_are_named", wrong: wrong{
		publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
			if err := right.Publish(ctx, to, msgs...); err != nil {
				return fmt.Errorf("failed: %v", err)
			}
			return nil
		}}},
	{name: "duplicates", fails: "C1_competing", wrong: wrong{
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
				return errors.Join(h(ctx, d), h(ctx, d))
			})
		}}},
	{name: "ignores prefetch", fails: "C4_prefetch", wrong: wrong{
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			from.Prefetch = 1000
			return right.Subscribe(ctx, from, h)
		}}},
	{name: "runs one handler more", fails: "C2_concurrency", wrong: wrong{
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			from.Concurrency++
			return right.Subscribe(ctx, from, h)
		}}},
	{name: "acknowledges before the handler", fails: "C8_not_before_the_handler", wrong: wrong{
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			from.AutoAck = true
			return right.Subscribe(ctx, from, h)
		}}},
	{name: "delivers an empty message", fails: "C11_nothing_unsent", wrong: wrong{
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
				return errors.Join(h(ctx, &messaging.Delivery{Attempt: 1}), h(ctx, d))
			})
		}}},
	{name: "counts a requeue", fails: "C5_requeue", wrong: wrong{
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
				err := h(ctx, d)
				if messaging.Decide(err, 1, from.Retry).Action == messaging.Release {
					return errors.New("counted")
				}
				return err
			})
		}}},
	{name: "cancels handlers when ctx ends", fails: "S1_drain", wrong: wrong{
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			return right.Subscribe(ctx, from, func(_ context.Context, d *messaging.Delivery) error { return h(ctx, d) })
		}}},
}

func harness(wrap func(messaging.Broker) messaging.Broker) messagingtest.Harness {
	return messagingtest.Harness{Open: func(context.Context) (*messagingtest.Rig, error) {
		b := memory.New(memory.WithLogger(slog.New(slog.DiscardHandler)))
		return &messagingtest.Rig{
			Broker: wrap(b), Disconnect: b.Disconnect, Reconnect: b.Reconnect, MaxSize: memory.DefaultMaxMessageSize,
		}, nil
	}}
}

func TestWrongAdaptersFail(t *testing.T) {
	for _, w := range wrongAdapters {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := messagingtest.Check(harness(func(right messaging.Broker) messaging.Broker {
					w.Broker = right
					return w.wrong
				}), w.fails)
				if err == nil {
					t.Fatalf("an adapter that %s passes %s", w.name, w.fails)
				}
				t.Logf("%s: %v", w.fails, err)
			})
		})
	}
}

func TestLeakIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		leak := func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			go func() { <-release }()
			return right.Subscribe(ctx, from, h)
		}
		err := messagingtest.Check(harness(func(right messaging.Broker) messaging.Broker {
			return wrong{Broker: right, subscribe: leak}
		}), "S5_no_goroutine")
		if err == nil {
			t.Fatal("an adapter that leaks a goroutine passes S5_no_goroutine")
		}
		t.Log(err)
	})
}

// TestRightAdapterPasses keeps the wrong ones honest: each is caught by a case
// that a right adapter, wrapped in the same way, passes.
func TestRightAdapterPasses(t *testing.T) {
	for _, w := range wrongAdapters {
		t.Run(w.fails, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := messagingtest.Check(harness(func(right messaging.Broker) messaging.Broker {
					return wrong{Broker: right}
				}), w.fails); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestEveryRuleHasACase(t *testing.T) {
	rules := map[string]bool{}
	names := map[string]bool{}
	for _, c := range messagingtest.Cases() {
		rules[c.Rule] = true
		if names[c.Name] || c.Text == "" {
			t.Errorf("%s: named twice, or has no text", c.Name)
		}
		names[c.Name] = true
	}
	for prefix, n := range map[string]int{"P": 11, "C": 14, "T": 3, "S": 5} {
		for i := 1; i <= n; i++ {
			if rule := fmt.Sprint(prefix, i); !rules[rule] {
				t.Errorf("rule %s has no case", rule)
			}
		}
	}
}
