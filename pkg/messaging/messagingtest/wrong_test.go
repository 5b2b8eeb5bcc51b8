package messagingtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

// wrong is a right broker with some methods replaced by wrong ones.
type wrong struct {
	messaging.Broker
	publish   publishFunc
	subscribe subscribeFunc
	declare   func(ctx context.Context, right messaging.Broker, q messaging.QueueSpec) error
	bind      func(ctx context.Context, right messaging.Broker, from messaging.Source) error
	health    func(messaging.Health) messaging.Health
}

type (
	publishFunc   = func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error
	subscribeFunc = func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error
)

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

func (w wrong) Declare(ctx context.Context, q messaging.QueueSpec) error {
	if w.declare == nil {
		return w.Broker.Declare(ctx, q)
	}
	return w.declare(ctx, w.Broker, q)
}

func (w wrong) Bind(ctx context.Context, from messaging.Source) error {
	if w.bind == nil {
		return w.Broker.Bind(ctx, from)
	}
	return w.bind(ctx, w.Broker, from)
}

func (w wrong) Health() messaging.Health {
	h := w.Broker.Health()
	if w.health != nil {
		h = w.health(h)
	}
	return h
}

// sending publishes other messages than it was given. They are copies.
func sending(change func(msgs []*messaging.Message) []*messaging.Message) wrong {
	return wrong{publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
		changed := make([]*messaging.Message, len(msgs))
		for i := range msgs {
			c := msgs[i].Clone()
			changed[i] = &c
		}
		return right.Publish(ctx, to, change(changed)...)
	}}
}

// reporting makes another error of Publish's.
func reporting(change func(err error) error) wrong {
	return wrong{publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
		return change(right.Publish(ctx, to, msgs...))
	}}
}

// receiving subscribes with another Source.
func receiving(change func(from *messaging.Source)) wrong {
	return wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		change(&from)
		return right.Subscribe(ctx, from, h)
	}}
}

// handling calls the handler otherwise.
func handling(call func(ctx context.Context, d *messaging.Delivery, h messaging.Handler) error) wrong {
	return wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error { return call(ctx, d, h) })
	}}
}

// declaring declares queues with other properties.
func declaring(change func(q *messaging.QueueSpec)) wrong {
	return wrong{declare: func(ctx context.Context, right messaging.Broker, q messaging.QueueSpec) error {
		change(&q)
		return right.Declare(ctx, q)
	}}
}

// without makes nil of an error, and leaves others.
func without(ignored error) func(error) error {
	return func(err error) error {
		if errors.Is(err, ignored) {
			return nil
		}
		return err
	}
}

// action is what a verdict means at the first attempt.
func action(verdict error) messaging.Action {
	return messaging.Decide(verdict, 1, messaging.Source{Address: messaging.Queue("q")}.WithDefaults().Retry).Action
}

// subscriptionKey is, in a handler's context, for its subscription's.
type subscriptionKey struct{}

// The adapters that are wrong on purpose, each with the case that is meant to
// catch it: at least one for each rule.
var wrongAdapters = []struct {
	name  string
	fails string
	wrong
}{
	{"drops a message", "P1_stored", sending(func(msgs []*messaging.Message) []*messaging.Message {
		if len(msgs) > 2 {
			msgs = slices.Delete(msgs, 1, 2)
		}
		return msgs
	})},
	{"reorders", "P2_order", sending(func(msgs []*messaging.Message) []*messaging.Message {
		slices.Reverse(msgs)
		return msgs
	})},
	{"does not say which failed", "P3_failed_are_named", reporting(func(err error) error {
		if err != nil {
			return fmt.Errorf("failed: %v", err)
		}
		return nil
	})},
	{"returns nil for an unroutable message", "P4_unroutable", reporting(without(messaging.ErrUnroutable))},
	{"waits on when its context has ended", "P5_returns_when_ctx_ends", wrong{publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
		return right.Publish(context.WithoutCancel(ctx), to, msgs...)
	}}},
	{"gives up where it is not connected", "P6_waits_for_connection", wrong{publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
		if right.Health().State != messaging.Connected {
			return errors.New("not connected")
		}
		return right.Publish(ctx, to, msgs...)
	}}},
	{"does not say that it was blocked", "P7_blocked", reporting(func(err error) error {
		if errors.Is(err, messaging.ErrBlocked) {
			return context.DeadlineExceeded
		}
		return err
	})},
	{"cuts what is too large", "P8_too_large", sending(func(msgs []*messaging.Message) []*messaging.Message {
		for _, m := range msgs {
			m.Body = m.Body[:min(len(m.Body), memory.DefaultMaxMessageSize)]
		}
		return msgs
	})},
	{"returns nil where the queue is full", "P9_full_queue", reporting(without(messaging.ErrRejected))},
	{"delivers the caller's own message", "P10_caller_may_change", deliversTheCallersOwn()},
	{"loses what is published at the same time", "P11_many_goroutines", losesWhatOverlaps()},

	{"duplicates", "C1_competing", handling(func(ctx context.Context, d *messaging.Delivery, h messaging.Handler) error {
		return errors.Join(h(ctx, d), h(ctx, d))
	})},
	{"runs one handler more", "C2_concurrency", receiving(func(from *messaging.Source) { from.Concurrency++ })},
	{"ignores OrderBy", "C3_order_by_key", ignoresOrderBy()},
	{"ignores prefetch", "C4_prefetch", receiving(func(from *messaging.Source) { from.Prefetch = 1000 })},
	{"counts a requeue", "C5_requeue", handling(func(ctx context.Context, d *messaging.Delivery, h messaging.Handler) error {
		err := h(ctx, d)
		if action(err) == messaging.Release {
			return errors.New("counted")
		}
		return err
	})},
	{"counts no attempts", "C6_attempts", handling(func(ctx context.Context, d *messaging.Delivery, h messaging.Handler) error {
		d.Attempt = 1
		return h(ctx, d)
	})},
	{"does not look whether a dead letter was stored", "C7_dead_letter_confirmed", wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
			err := h(ctx, d)
			if action(err) != messaging.DeadLetter {
				return err
			}
			_ = right.Publish(ctx, from.Retry.DeadLetter, &d.Message)
			return nil
		})
	}}},
	{"acknowledges before the handler", "C8_not_before_the_handler", receiving(func(from *messaging.Source) { from.AutoAck = true })},
	{"makes text of every body", "C9_any_bytes", handling(func(ctx context.Context, d *messaging.Delivery, h messaging.Handler) error {
		d.Body = bytes.ToValidUTF8(d.Body, nil)
		return h(ctx, d)
	})},
	{"tries again what cannot be decoded", "C10_undecodable", handling(func(ctx context.Context, d *messaging.Delivery, h messaging.Handler) error {
		err := h(ctx, d)
		if action(err) == messaging.DeadLetter {
			return errors.New("maybe the next time")
		}
		return err
	})},
	{"delivers an empty message", "C11_nothing_unsent", handling(func(ctx context.Context, d *messaging.Delivery, h messaging.Handler) error {
		return errors.Join(h(ctx, &messaging.Delivery{Attempt: 1}), h(ctx, d))
	})},
	{"ends when its connection is lost", "C12_connection_lost", wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		say, again := from.Ready, false
		from.Ready = func() {
			if again {
				cancel()
				return
			}
			say()
			again = true
		}
		return right.Subscribe(ctx, from, h)
	}}},
	{"settles after the handler all the same", "C13_auto_ack", receiving(func(from *messaging.Source) { from.AutoAck = false })},
	{"delivers at once", "C14_delay", sending(func(msgs []*messaging.Message) []*messaging.Message {
		for _, m := range msgs {
			m.Delay = 0
		}
		return msgs
	})},

	{"makes one group of all", "T1_a_copy_for_each_group", receiving(func(from *messaging.Source) {
		if from.Group != "" {
			from.Group = "all"
		}
	})},
	{"is ready too early", "T2_private_after_ready", wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		from.Ready()
		from.Ready = nil
		time.Sleep(time.Second)
		return right.Subscribe(ctx, from, h)
	}}},
	{"takes all keys", "T3_patterns", wrong{bind: func(ctx context.Context, right messaging.Broker, from messaging.Source) error {
		from.Keys = nil
		return right.Bind(ctx, from)
	}}},

	{"cancels handlers when ctx ends", "S1_drain", wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		return right.Subscribe(ctx, from, func(_ context.Context, d *messaging.Delivery) error { return h(ctx, d) })
	}}},
	{"keeps what was prefetched while it drains", "S2_prefetched_goes_back", wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		slots := make(chan struct{}, max(from.Concurrency, 1))
		from.Concurrency = from.Prefetch
		return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
			slots <- struct{}{}
			defer func() { <-slots }()
			time.Sleep(time.Millisecond) // for the others to have come
			return h(ctx, d)
		})
	}}},
	{"keeps quiet about what it cut off", "S3_shutdown_timeout", wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		_ = right.Subscribe(ctx, from, h)
		return nil
	}}},
	{"publishes nothing while it drains", "S4_publish_while_draining", wrong{
		publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
			if of, handler := ctx.Value(subscriptionKey{}).(context.Context); handler && of.Err() != nil {
				return messaging.ErrClosed
			}
			return right.Publish(ctx, to, msgs...)
		},
		subscribe: func(of context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			return right.Subscribe(of, from, func(ctx context.Context, d *messaging.Delivery) error {
				return h(context.WithValue(ctx, subscriptionKey{}, of), d)
			})
		},
	}},
	{"leaks a goroutine", "S5_no_goroutine", wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		go time.Sleep(time.Hour)
		return right.Subscribe(ctx, from, h)
	}}},

	{"does not declare a queue that it knows", "Declare_mismatch", wrong{declare: func(ctx context.Context, right messaging.Broker, q messaging.QueueSpec) error {
		return without(messaging.ErrMismatch)(right.Declare(ctx, q))
	}}},
	{"forgets MaxLength", "Declare_drop_oldest", declaring(func(q *messaging.QueueSpec) { q.MaxLength, q.Overflow = 0, 0 })},
	{"forgets SingleActive", "Declare_single_active", declaring(func(q *messaging.QueueSpec) { q.SingleActive = false })},
	{"forgets AutoDelete", "Declare_auto_delete", declaring(func(q *messaging.QueueSpec) { q.AutoDelete = false })},

	{"always says that it is connected", "H1_watch_connection", wrong{health: func(h messaging.Health) messaging.Health {
		h.State = messaging.Connected
		return h
	}}},
}

func deliversTheCallersOwn() wrong {
	var sent sync.Map
	return wrong{
		publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
			err := right.Publish(ctx, to, msgs...)
			for _, m := range msgs {
				sent.Store(m.ID, m)
			}
			return err
		},
		subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
			return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
				if m, known := sent.Load(d.ID); known {
					d.Message = *m.(*messaging.Message)
				}
				return h(ctx, d)
			})
		},
	}
}

func losesWhatOverlaps() wrong {
	var now atomic.Int64
	return wrong{publish: func(ctx context.Context, right messaging.Broker, to messaging.Address, msgs []*messaging.Message) error {
		defer now.Add(-1)
		if now.Add(1) > 1 {
			return nil
		}
		time.Sleep(time.Millisecond) // for others to come
		return right.Publish(ctx, to, msgs...)
	}}
}

func ignoresOrderBy() wrong {
	var calls atomic.Int64
	return wrong{subscribe: func(ctx context.Context, right messaging.Broker, from messaging.Source, h messaging.Handler) error {
		from.OrderBy = nil
		return right.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
			if calls.Add(1)%2 == 1 {
				time.Sleep(time.Millisecond) // and the next goes on
			}
			return h(ctx, d)
		})
	}}
}

func harness(wrap func(messaging.Broker) messaging.Broker) messagingtest.Harness {
	return messagingtest.Harness{Open: func(context.Context) (*messagingtest.Rig, error) {
		b := memory.New(memory.WithLogger(slog.New(slog.DiscardHandler)))
		return &messagingtest.Rig{
			Broker: wrap(b), Disconnect: b.Disconnect, Reconnect: b.Reconnect,
			Block: func() { b.Block("the test says so") }, Unblock: b.Unblock,
			MaxSize: memory.DefaultMaxMessageSize,
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
				time.Sleep(2 * time.Hour) // until what was leaked has ended
			})
		})
	}
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

func TestEveryRuleHasACaseAndAWrongAdapter(t *testing.T) {
	rules, broken := map[string]bool{}, map[string]bool{}
	for _, w := range wrongAdapters {
		rule, _, _ := strings.Cut(w.fails, "_")
		broken[rule] = true
	}
	names := map[string]bool{}
	for _, c := range messagingtest.Cases() {
		rules[c.Rule] = true
		if names[c.Name] || c.Text == "" {
			t.Errorf("%s: named twice, or has no text", c.Name)
		}
		names[c.Name] = true
	}
	for prefix, n := range map[string]int{"P": 11, "C": 14, "T": 3, "S": 5, "H": 1} {
		for i := 1; i <= n; i++ {
			if rule := fmt.Sprint(prefix, i); !rules[rule] {
				t.Errorf("rule %s has no case", rule)
			} else if !broken[rule] {
				t.Errorf("rule %s is broken by no wrong adapter", rule)
			}
		}
	}
}
