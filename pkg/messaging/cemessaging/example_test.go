package cemessaging_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/cemessaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker := memory.New()
	defer broker.Close(context.Background())
	queue := messaging.Queue("events")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
		log.Fatal(err)
	}

	e := event.New()
	e.SetID("1")
	e.SetSource("/shop")
	e.SetType("order.placed")
	_ = e.SetData("application/json", map[string]int{"books": 2})
	m, err := cemessaging.Binary.Encode(e)
	if err != nil {
		log.Fatal(err)
	}
	if err := broker.Publish(ctx, queue, m); err != nil {
		log.Fatal(err)
	}

	handle := messaging.Handle(cemessaging.Binary, func(_ context.Context, e event.Event, d *messaging.Delivery) error {
		fmt.Printf("%s from %s: %s\n", e.Type(), e.Source(), e.Data())
		fmt.Println("in the headers:", d.Headers["cloudEvents_source"])
		stop()
		return nil
	})
	if err := broker.Subscribe(ctx, messaging.Source{Address: queue}, handle); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order.placed from /shop: {"books":2}
	// in the headers: /shop
}

// Events are the same where source and id are, whatever their messages' IDs.
func ExampleKey() {
	handle := messaging.Chain(
		messaging.Handle(cemessaging.Binary, func(_ context.Context, e event.Event, _ *messaging.Delivery) error {
			fmt.Println("handled", e.Source(), e.ID())
			return nil
		}),
		middleware.Deduplicate(middleware.NewMemoryStore(1000), cemessaging.Key))

	for _, source := range []string{"/shop", "/shop", "/stock"} {
		e := event.New()
		e.SetID("1")
		e.SetSource(source)
		e.SetType("order.placed")
		m, _ := cemessaging.Structured.Encode(e)
		_ = handle(context.Background(), &messaging.Delivery{Message: *m})
	}
	// Output:
	// handled /shop 1
	// handled /stock 1
}
