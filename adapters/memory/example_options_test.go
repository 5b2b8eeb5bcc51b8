package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Small limits, for the tests of what a service does when it meets one.
func ExampleNew() {
	ctx := context.Background()
	broker := memory.New(
		memory.WithMaxMessageSize(8),
		memory.WithPublishTimeout(time.Millisecond),
		memory.WithLogger(slog.New(slog.DiscardHandler)),
	)
	defer broker.Close(ctx)
	queue := messaging.Queue("orders")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
		fmt.Println(err)
	}

	err := broker.Publish(ctx, queue, &messaging.Message{Body: []byte("a very large order")})
	fmt.Println("too large:", errors.Is(err, messaging.ErrTooLarge))

	broker.Disconnect()
	err = broker.Publish(ctx, queue, &messaging.Message{Body: []byte("a book")})
	fmt.Println("after a millisecond:", err != nil)
	// Output:
	// too large: true
	// after a millisecond: true
}

// A service's results, and its reminders for tomorrow, are nothing to wait for.
func ExampleBroker_WaitIdle() {
	ctx, stop := context.WithCancel(context.Background())
	broker := memory.New()
	defer broker.Close(context.Background())
	defer stop()

	orders, results := messaging.Queue("orders"), messaging.Queue("results")
	for _, q := range []messaging.Address{orders, results} {
		_ = broker.Declare(ctx, messaging.QueueSpec{Name: q.Name()})
	}
	go func() {
		_ = broker.Subscribe(ctx, messaging.Source{Address: orders}, func(ctx context.Context, d *messaging.Delivery) error {
			return broker.Publish(ctx, results,
				&messaging.Message{Body: []byte("taken")},
				&messaging.Message{Body: []byte("a reminder"), Delay: 24 * time.Hour})
		})
	}()
	_ = broker.Publish(ctx, orders, &messaging.Message{Body: []byte("a book")})
	fmt.Println(broker.WaitIdle(ctx, memory.IgnoreQueues(results), memory.IgnoreWaiting()))
	// Output: <nil>
}

// What a service makes of a broker that refuses, or loses a confirmation.
func ExampleBroker_OnPublish() {
	ctx := context.Background()
	broker := memory.New()
	defer broker.Close(ctx)
	queue := messaging.Queue("orders")
	_ = broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()})

	broker.OnPublish(memory.Fault{To: queue, Skip: 1, Err: messaging.ErrRejected}) // the second, and only that
	for range 3 {
		err := broker.Publish(ctx, queue, &messaging.Message{})
		fmt.Println("refused:", errors.Is(err, messaging.ErrRejected))
	}
	// Output:
	// refused: false
	// refused: true
	// refused: false
}

// The dead letters of a queue, wherever they went.
func ExampleBroker_DeadLetters() {
	ctx, stop := context.WithCancel(context.Background())
	broker := memory.New(memory.WithLogger(slog.New(slog.DiscardHandler)))
	defer broker.Close(context.Background())
	defer stop()
	queue := messaging.Queue("orders")
	_ = broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()})
	go func() {
		_ = broker.Subscribe(ctx, messaging.Source{Address: queue}, func(context.Context, *messaging.Delivery) error {
			return messaging.Reject(errors.New("out of print"))
		})
	}()
	_ = broker.Publish(ctx, queue, &messaging.Message{Body: []byte("a book")})
	_ = broker.WaitIdle(ctx)
	for _, d := range broker.DeadLetters(queue) {
		fmt.Printf("%s: %s\n", d.Body, d.Headers[messaging.HeaderDeadError])
	}
	// Output: a book: out of print
}
