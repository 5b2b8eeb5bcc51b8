package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware/breaker"
)

// The database fails three times; then nothing is handled until it has had a
// moment, and the wait costs the message no attempt.
func ExampleNew() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker := memory.New()
	defer broker.Close(context.Background())

	queue := messaging.Queue("orders")
	_ = broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()})
	_ = broker.Publish(ctx, queue, &messaging.Message{ID: "a"})

	fails := 3
	save := func(_ context.Context, d *messaging.Delivery) error {
		if fails--; fails >= 0 {
			return messaging.RetryAfter(0, errors.New("the database is down"))
		}
		fmt.Println("saved", d.ID, "at attempt", d.Attempt)
		stop()
		return nil
	}
	circuit := breaker.New(gobreaker.Settings{
		Timeout:     50 * time.Millisecond,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 3 },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			fmt.Println("the circuit is", to)
		},
	})
	err := broker.Subscribe(ctx, messaging.Source{Address: queue}, messaging.Chain(save, circuit))
	fmt.Println("drained:", err)
	// Output:
	// the circuit is open
	// the circuit is half-open
	// saved a at attempt 4
	// the circuit is closed
	// drained: <nil>
}
