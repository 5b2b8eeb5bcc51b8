package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
)

// serve has handle receive the messages, until all are settled.
func serve(handle messaging.Handler, msgs ...*messaging.Message) {
	ctx, stop := context.WithCancel(context.Background())
	broker := memory.New(memory.WithLogger(discard))
	defer broker.Close(context.Background())

	queue := messaging.Queue("orders")
	_ = broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()})
	_ = broker.Publish(ctx, queue, msgs...)
	ended := make(chan error, 1)
	go func() {
		retry := messaging.Retry{MaxAttempts: 2, Min: time.Millisecond}
		ended <- broker.Subscribe(ctx, messaging.Source{Address: queue, Retry: retry}, handle)
	}()
	_ = broker.WaitIdle(ctx)
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
}

// textLog writes lines without the time, and without what varies.
func textLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "duration", "stack":
				return slog.Attr{}
			}
			return a
		},
	}))
}

func ExampleLog() {
	handle := func(_ context.Context, d *messaging.Delivery) error {
		if len(d.Body) == 0 {
			return messaging.Reject(errors.New("an order without a body"))
		}
		return nil
	}
	serve(messaging.Chain(handle, middleware.Log(textLog())),
		&messaging.Message{ID: "1", Type: "order.placed", Body: []byte("a book")},
		&messaging.Message{ID: "2", Type: "order.placed"})
	// Output:
	// level=INFO msg="handled message" id=1 type=order.placed from=queue:orders attempt=1 redelivered=false verdict=acknowledge
	// level=WARN msg="handler failed" id=2 type=order.placed from=queue:orders attempt=1 redelivered=false verdict=dead-letter error="an order without a body"
}

// Log, around Recover, sees the panic as an error.
func ExampleRecover() {
	handle := func(_ context.Context, d *messaging.Delivery) error {
		if d.Attempt == 1 {
			panic("index out of range")
		}
		return nil
	}
	serve(messaging.Chain(handle, middleware.Log(textLog()), middleware.Recover(discard)),
		&messaging.Message{ID: "1"})
	// Output:
	// level=WARN msg="handler failed" id=1 type="" from=queue:orders attempt=1 redelivered=false verdict=again error="handler panicked: index out of range"
	// level=INFO msg="handled message" id=1 type="" from=queue:orders attempt=2 redelivered=true verdict=acknowledge
}

func ExampleTimeout() {
	ask := func(ctx context.Context) error { // a server that does not answer
		<-ctx.Done()
		return ctx.Err()
	}
	handle := func(ctx context.Context, d *messaging.Delivery) error {
		err := ask(ctx)
		fmt.Printf("attempt %d: %v\n", d.Attempt, err)
		return err
	}
	serve(messaging.Chain(handle, middleware.Timeout(10*time.Millisecond)), &messaging.Message{})
	// Output:
	// attempt 1: context deadline exceeded
	// attempt 2: context deadline exceeded
}

// A producer that got no confirmation publishes again, under the same ID.
func ExampleDeduplicate() {
	handle := func(_ context.Context, d *messaging.Delivery) error {
		fmt.Printf("charged %s\n", d.Body)
		return nil
	}
	once := middleware.Deduplicate(middleware.NewMemoryStore(10_000), nil)
	order := &messaging.Message{ID: "order-1", Body: []byte("20 EUR")}
	serve(messaging.Chain(handle, once), order, order)
	// Output: charged 20 EUR
}
