package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/warrenmq/warren/pkg/messaging"
)

// A work does n more of something on a queue, and returns when it is done.
type work func(ctx context.Context, b messaging.Broker, q messaging.Address, n int) error

// run does a work in tenths, and measures after each of them.
func (s soak) run(ctx context.Context, b messaging.Broker, name string, total int, do work) error {
	q := messaging.Queue("soak." + messaging.NewID())
	if err := b.Declare(ctx, messaging.QueueSpec{Name: q.Name()}); err != nil {
		return err
	}
	var m meter
	const parts = 10
	for i := range parts {
		if err := do(ctx, b, q, total/parts); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.measure()
		fmt.Fprintf(s.out, "%-24s %9d  %s\n", name, total/parts*(i+1), m.last())
	}
	if err := m.flat(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(s.out, "%-24s flat\n", name)
	return nil
}

// throughput sends n messages through the queue.
func throughput(ctx context.Context, b messaging.Broker, q messaging.Address, n int) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	var mu sync.Mutex
	handled := map[string]bool{}
	subscribed := make(chan error, 1)
	go func() {
		subscribed <- b.Subscribe(ctx, messaging.Source{Address: q, Concurrency: 4, Prefetch: 200},
			func(_ context.Context, d *messaging.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				if handled[d.ID] = true; len(handled) == n {
					done()
				}
				return nil
			})
	}()
	const batch = 100
	msgs := make([]*messaging.Message, batch)
	for sent := 0; sent < n; sent += len(msgs) {
		msgs = msgs[:min(batch, n-sent)]
		for i := range msgs {
			msgs[i] = &messaging.Message{Headers: map[string]string{"n": "1"}, Body: make([]byte, 256)}
		}
		if err := b.Publish(context.WithoutCancel(ctx), q, msgs...); err != nil {
			return err
		}
	}
	if err := <-subscribed; err != nil {
		return err
	}
	if len(handled) < n {
		return fmt.Errorf("%d of %d messages came: %w", len(handled), n, context.Cause(ctx))
	}
	return nil
}

// comeAndGo subscribes and unsubscribes n times, some at once.
func comeAndGo(ctx context.Context, b messaging.Broker, q messaging.Address, n int) error {
	const atOnce = 8
	errs := make(chan error, atOnce)
	for i := range atOnce {
		go func() {
			var err error
			for range n/atOnce + min(1, max(0, n%atOnce-i)) {
				if err == nil {
					err = once(ctx, b, q)
				}
			}
			errs <- err
		}()
	}
	var first error
	for range atOnce {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// once subscribes, and leaves as soon as the subscription is there.
func once(ctx context.Context, b messaging.Broker, q messaging.Address) error {
	begun, leave := context.WithCancel(ctx)
	defer leave()
	if err := b.Subscribe(begun, messaging.Source{Address: q, Ready: leave}, ignore); err != nil {
		return err
	}
	return ctx.Err()
}

func ignore(context.Context, *messaging.Delivery) error { return nil }
