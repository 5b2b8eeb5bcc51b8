package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// newBroker is a broker with one queue, and messages in it.
func newBroker(ctx context.Context, queue string, msgs ...*messaging.Message) messaging.Broker {
	broker, err := messaging.Open(ctx, brokerURL)
	if err == nil {
		err = broker.Declare(ctx, messaging.QueueSpec{Name: queue})
	}
	if err == nil {
		err = broker.Publish(ctx, messaging.Queue(queue), msgs...)
	}
	if err != nil {
		log.Fatal(err)
	}
	return broker
}

// What a handler returns decides what becomes of the message.
func ExampleHandler() {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // dead letters are logged
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker := newBroker(ctx, "orders",
		&messaging.Message{Body: []byte("good")},
		&messaging.Message{Body: []byte("not an order")},
		&messaging.Message{Body: []byte("flaky")},
	)
	defer broker.Close(context.Background())

	source := messaging.Source{
		Address: messaging.Queue("orders"),
		Retry:   messaging.Retry{MaxAttempts: 3, Min: time.Millisecond, Max: time.Millisecond},
	}
	err := broker.Subscribe(ctx, source, func(_ context.Context, d *messaging.Delivery) error {
		switch string(d.Body) {
		case "not an order":
			return messaging.Reject(errors.New("no order number")) // straight to orders.dead
		case "flaky":
			fmt.Println("flaky, attempt", d.Attempt)
			if d.Attempt < 3 {
				return errors.New("connection refused") // again, after a back-off
			}
			stop()
		}
		return nil
	})
	fmt.Println("drained:", err)

	dead, err := messaging.Get(context.Background(), broker, messaging.Source{Address: messaging.Queue("orders.dead")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("dead: %q, %s: %s\n", dead.Body, dead.Headers[messaging.HeaderDeadReason], dead.Headers[messaging.HeaderDeadError])
	if err := dead.Settle(nil); err != nil {
		log.Fatal(err)
	}
	// Output:
	// flaky, attempt 1
	// flaky, attempt 2
	// flaky, attempt 3
	// drained: <nil>
	// dead: "not an order", rejected: no order number
}

// Messages is a plain loop that ends when the queue has been quiet for a while,
// as the tutorial's consumer with an inactivity timeout.
func ExampleMessages() {
	ctx := context.Background()
	broker := newBroker(ctx, "hello", &messaging.Message{Body: []byte("one")}, &messaging.Message{Body: []byte("two")})
	defer broker.Close(ctx)

	source := messaging.Source{Address: messaging.Queue("hello")}
	for m, err := range messaging.Messages(ctx, broker, source, 500*time.Millisecond) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("received %q\n", m.Body)
		if err := m.Settle(nil); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// received "one"
	// received "two"
}

// Get asks for one message.
func ExampleGet() {
	ctx := context.Background()
	broker := newBroker(ctx, "hello", &messaging.Message{Body: []byte("Hello World!")})
	defer broker.Close(ctx)

	source := messaging.Source{Address: messaging.Queue("hello")}
	for range 2 {
		m, err := messaging.Get(ctx, broker, source)
		if errors.Is(err, messaging.ErrEmpty) {
			fmt.Println("empty")
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("received %q, settled: %v\n", m.Body, m.Settle(nil))
	}
	// Output:
	// received "Hello World!", settled: <nil>
	// empty
}

// Redrive gives dead letters another chance, once what was wrong is mended.
func ExampleRedrive() {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // dead letters are logged
	ctx := context.Background()
	broker := newBroker(ctx, "payments", &messaging.Message{Body: []byte("7 carrots")})
	defer broker.Close(ctx)

	bankIsOpen := false
	source := messaging.Source{Address: messaging.Queue("payments"), Retry: messaging.Retry{MaxAttempts: 1}}
	payOnce := func() {
		ctx, stop := context.WithCancel(ctx)
		err := broker.Subscribe(ctx, source, func(_ context.Context, d *messaging.Delivery) error {
			defer stop()
			if !bankIsOpen {
				return errors.New("the bank is closed")
			}
			fmt.Printf("paid %s, attempt %d\n", d.Body, d.Attempt)
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}

	payOnce() // fails, and the message is in payments.dead
	bankIsOpen = true
	moved, err := messaging.Redrive(ctx, broker, messaging.Queue("payments.dead"), messaging.RedriveOptions{})
	fmt.Println("moved:", moved, err)
	payOnce()
	// Output:
	// moved: 1 <nil>
	// paid 7 carrots, attempt 1
}

type order struct {
	Number int
	Item   string
}

// HandleJSON decodes each body for a typed handler; JSON makes such messages.
func ExampleHandleJSON() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	m, err := messaging.JSON(order{Number: 7, Item: "rabbit hutch"})
	if err != nil {
		log.Fatal(err)
	}
	broker := newBroker(ctx, "orders", m)
	defer broker.Close(context.Background())

	handle := messaging.HandleJSON(func(_ context.Context, o order, d *messaging.Delivery) error {
		fmt.Printf("%s: order %d, %s\n", d.ContentType, o.Number, o.Item)
		stop()
		return nil
	})
	if err := broker.Subscribe(ctx, messaging.Source{Address: messaging.Queue("orders")}, handle); err != nil {
		log.Fatal(err)
	}
	// Output: application/json: order 7, rabbit hutch
}

// A middleware is a function around a handler.
func ExampleChain() {
	trace := func(next messaging.Handler) messaging.Handler {
		return func(ctx context.Context, d *messaging.Delivery) error {
			fmt.Println("begin")
			err := next(ctx, d)
			fmt.Println("end:", err)
			return err
		}
	}
	handler := messaging.Chain(func(context.Context, *messaging.Delivery) error {
		fmt.Println("work")
		return nil
	}, trace)
	_ = handler(context.Background(), &messaging.Delivery{})
	// Output:
	// begin
	// work
	// end: <nil>
}

// A failed Publish says which messages failed, and why.
func ExamplePublishError() {
	ctx := context.Background()
	broker := newBroker(ctx, "hello")
	defer broker.Close(ctx)

	err := broker.Publish(ctx, messaging.Queue("helo"), &messaging.Message{ID: "m-1"})
	fmt.Println(err)
	fmt.Println("unroutable:", errors.Is(err, messaging.ErrUnroutable))
	var failure *messaging.PublishError
	if errors.As(err, &failure) {
		fmt.Println("failed:", failure.Failed[0].ID)
	}
	// Output:
	// publish to queue:helo: message 0 (m-1): unroutable: no such queue
	// unroutable: true
	// failed: m-1
}

// A probe that says whether the service can work, told each time that this
// changes.
func ExampleWatch() {
	ctx := context.Background()
	broker := newBroker(ctx, "hello")

	for h := range messaging.Watch(ctx, broker) {
		fmt.Println("the broker is", h.State)
		if h.State == messaging.Connected {
			broker.Close(ctx) // the loop ends with it
		}
	}
	// Output:
	// the broker is connected
	// the broker is closed
}
