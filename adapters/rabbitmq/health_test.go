package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// healthy waits until Health is as it should be.
func healthy(t *testing.T, b messaging.Broker, what string, is func(messaging.Health) bool) messaging.Health {
	t.Helper()
	timeout := time.After(testPatience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		h := b.Health()
		if is(h) {
			return h
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("Health is not %s: %s", what, h)
		}
	}
}

// logged checks that the log has a line with all of these parts.
func logged(t *testing.T, log *testLog, parts ...string) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return
		}
	}
	t.Errorf("no line of the log has %q", parts)
}

// TestHealth: what happens to the connection and the subscription is seen in
// Health and in the log.
func TestHealth(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	log, logger := newTestLog(t)
	b := openAt(t, proxy.URL(node.URL()), WithLogger(logger))
	connected := func(h messaging.Health) bool { return h.State == messaging.Connected && h.Subscriptions == 1 }
	q := declare(t, b)
	sub := subscribe(t, b, messaging.Source{Address: q}, collect(make(chan messaging.Delivery, 10)))
	publish(t, b, q, &messaging.Message{})
	h := healthy(t, b, "connected", connected)
	if h.LastError != nil || h.Since.IsZero() || h.Blocked {
		t.Errorf("after a clean start: %s", h)
	}
	logged(t, log, "level=INFO", `msg="connected to RabbitMQ"`, "role=publish", "host="+proxy.Addr())
	logged(t, log, "level=INFO", `msg="connected to RabbitMQ"`, "role=consume", "host="+proxy.Addr())

	if err := proxy.Refuse(true); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	proxy.Cut()
	h = healthy(t, b, "connecting", func(h messaging.Health) bool {
		return h.State == messaging.Connecting && h.Subscriptions == 0 && strings.Contains(h.LastError.Error(), "connection refused")
	})
	if h.Since.Before(before) {
		t.Errorf("after the loss: %s", h)
	}
	healthy(t, b, "connecting", func(messaging.Health) bool { // both connections have found out
		return strings.Contains(log.String(), `connecting again" role=publish`) &&
			strings.Contains(log.String(), `msg="cannot connect to RabbitMQ, trying on"`)
	})
	logged(t, log, "level=WARN", `msg="lost the connection to RabbitMQ, connecting again"`, "role=publish", "attempt=1", "wait=0s")
	logged(t, log, "level=WARN", `msg="cannot connect to RabbitMQ, trying on"`, "connection refused", "attempt=2", "wait=")

	again := time.Now()
	if err := proxy.Refuse(false); err != nil {
		t.Fatal(err)
	}
	sub.waitReady()
	if h = healthy(t, b, "connected again", connected); h.Since.Before(again) || h.LastError == nil {
		t.Errorf("after the return: %s", h)
	}

	if err := node.SetMemoryAlarm(true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.SetMemoryAlarm(false) })
	publishing := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return b.Publish(ctx, q, &messaging.Message{})
	}
	_ = publishing() // the broker says that it blocks to who publishes; it may take this one
	if h = healthy(t, b, "blocked", func(h messaging.Health) bool { return h.Blocked }); !connected(h) || !strings.Contains(h.BlockedReason, "memory") {
		t.Errorf("while it blocks: %s", h)
	}
	if err := publishing(); !errors.Is(err, messaging.ErrBlocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it blocks: %v", err)
	}
	logged(t, log, "level=WARN", "blocks publishers", "memory")
	if err := node.SetMemoryAlarm(false); err != nil {
		t.Fatal(err)
	}
	healthy(t, b, "no longer blocked", func(h messaging.Health) bool { return !h.Blocked && h.BlockedReason == "" && connected(h) })
	logged(t, log, "level=INFO", "no longer blocks publishers")

	if err := open(t).Delete(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	sub.waitReady()
	if h = healthy(t, b, "subscribed again", connected); !strings.Contains(h.LastError.Error(), "the broker cancelled the consumer") {
		t.Errorf("after the queue was deleted: %s", h)
	}
	logged(t, log, "level=WARN", `msg="lost a subscription, resuming it"`, "address="+q.String(), "the broker cancelled the consumer", "attempt=", "wait=")
}

// TestWatch: what happens to a node is told while it happens.
func TestWatch(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b := openAt(t, node.URL())
	q := declare(t, b)
	sub := subscribe(t, b, messaging.Source{Address: q}, collect(make(chan messaging.Delivery, 1000)))
	told := make(chan messaging.Health)
	go func() {
		defer close(told)
		for h := range messaging.Watch(t.Context(), b) {
			select {
			case told <- h:
			case <-t.Context().Done():
			}
		}
	}()
	until := func(what string, is func(h messaging.Health) bool) {
		t.Helper()
		var last messaging.Health
		timeout := time.After(testPatience)
		for {
			select {
			case h := <-told:
				if last = h; is(h) {
					return
				}
			case <-timeout:
				t.Fatalf("Watch does not tell %s; the last was %s, and Health says %s", what, last, b.Health())
			}
		}
	}
	connected := func(h messaging.Health) bool {
		return h.State == messaging.Connected && h.Subscriptions == 1 && !h.Blocked
	}
	until("that it is connected", connected)

	restarted := make(chan error, 1)
	go func() { restarted <- node.Restart(t.Context()) }()
	until("that the node is gone", func(h messaging.Health) bool { return h.State == messaging.Connecting && h.Subscriptions == 0 })
	until("that the node is back", connected)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	sub.waitReady()

	if err := node.SetMemoryAlarm(true); err != nil {
		t.Fatal(err)
	}
	trying := make(chan struct{})
	go func() { // the broker says that it blocks to who publishes
		defer close(trying)
		ctx, cancel := context.WithTimeout(t.Context(), testPatience)
		defer cancel()
		_ = b.Publish(ctx, q, texts("m", 100)...)
	}()
	until("that publishers are blocked", func(h messaging.Health) bool {
		return h.Blocked && strings.Contains(h.BlockedReason, "memory")
	})
	if err := node.SetMemoryAlarm(false); err != nil {
		t.Fatal(err)
	}
	until("that they are no longer", connected)
	<-trying

	closed := time.Now()
	if _, err := node.CloseConnections(); err != nil {
		t.Fatal(err)
	}
	until("that there are new connections", func(h messaging.Health) bool { return connected(h) && h.Since.After(closed) })

	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	until("that it is closed", func(h messaging.Health) bool { return h.State == messaging.Closed })
	if h, more := <-told; more {
		t.Errorf("after closed, Watch told %s", h)
	}
}

// TestCleanRunLogsNothingToWorryAbout: nothing above INFO where nothing went
// wrong, on either adapter, and no password.
func TestCleanRunLogsNothingToWorryAbout(t *testing.T) {
	for name, openIt := range map[string]func(*testing.T, *slog.Logger) (messaging.Broker, error){
		"memory": func(_ *testing.T, l *slog.Logger) (messaging.Broker, error) {
			return memory.New(memory.WithLogger(l)), nil
		},
		"rabbitmq": func(t *testing.T, l *slog.Logger) (messaging.Broker, error) {
			return Open(t.Context(), rabbitmqtest.URL(t), WithLogger(l))
		},
	} {
		t.Run(name, func(t *testing.T) {
			log, _ := newTestLog(t)
			b, err := openIt(t, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			if err != nil {
				t.Fatal(err)
			}
			q, topic := declare(t, b), messaging.Topic(t.Name()+messaging.NewID())
			got := make(chan messaging.Delivery, 300)
			subs := []*running{
				subscribe(t, b, messaging.Source{Address: q, Concurrency: 8}, messaging.Chain(collect(got))),
				subscribe(t, b, messaging.Source{Address: topic, Keys: []string{"a.#"}}, collect(got)),
			}
			publish(t, b, q, texts("m", 100)...)
			publish(t, b, q, &messaging.Message{Delay: 10 * time.Millisecond})
			publish(t, b, topic, &messaging.Message{Key: "a.b"}, &messaging.Message{Key: "nobody's"})
			for range 102 {
				next(t, got, "the messages")
			}
			service := declare(t, b)
			subs = append(subs, subscribe(t, b, messaging.Source{Address: service}, messaging.Respond(b, double)))
			if err := ask(b, nil, service, "m"); err != nil {
				t.Error(err)
			}
			for _, s := range subs[:2] {
				if err := s.stop(); err != nil {
					t.Error(err)
				}
			}
			if _, err := messaging.Get(t.Context(), b, messaging.Source{Address: q}); !errors.Is(err, messaging.ErrEmpty) {
				t.Error(err)
			}
			for _, a := range []messaging.Address{q, messaging.Queue(q.Name() + ".dead"), topic} {
				if err := b.Delete(t.Context(), a); err != nil {
					t.Error(err)
				}
			}
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "guest:guest") {
					t.Errorf("in a clean run: %s", line)
				}
			}
			if h := b.Health(); h.LastError != nil {
				t.Errorf("after a clean run: %s", h)
			}
		})
	}
}
