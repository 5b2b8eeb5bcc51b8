package ratelimit_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware/ratelimit"
)

// An API takes a hundred calls a second, and no more than one at once.
func ExampleNew() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker := memory.New()
	defer broker.Close(context.Background())

	queue := messaging.Queue("calls")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if err := broker.Publish(ctx, queue, &messaging.Message{Body: []byte("call")}); err != nil {
			log.Fatal(err)
		}
	}

	start, calls := time.Now(), 0
	call := func(context.Context, *messaging.Delivery) error {
		if calls++; calls == 3 {
			stop()
		}
		return nil
	}
	limit := ratelimit.New(rate.NewLimiter(100, 1))
	err := broker.Subscribe(ctx, messaging.Source{Address: queue}, messaging.Chain(call, limit))
	fmt.Println(calls, "calls, at least 20 ms:", time.Since(start) >= 20*time.Millisecond, err)
	// Output: 3 calls, at least 20 ms: true <nil>
}

// Each customer has a limiter, and a slow one does not take the turns of others.
func ExampleBy() {
	var limiters sync.Map // customer to *rate.Limiter
	perCustomer := ratelimit.By(func(d *messaging.Delivery) *rate.Limiter {
		l, _ := limiters.LoadOrStore(d.Headers["customer"], rate.NewLimiter(rate.Every(10*time.Millisecond), 1))
		return l.(*rate.Limiter)
	})
	handle := messaging.Chain(func(_ context.Context, d *messaging.Delivery) error {
		fmt.Println("served", d.Headers["customer"])
		return nil
	}, perCustomer)
	for _, customer := range []string{"a", "a", "b"} {
		_ = handle(context.Background(), &messaging.Delivery{
			Message: messaging.Message{Headers: map[string]string{"customer": customer}}})
	}
	// Output:
	// served a
	// served a
	// served b
}
