package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"

	"github.com/warrenmq/warren/pkg/messaging"
)

// The URL alone says which broker it is. Who opens closes.
func ExampleOpen() {
	ctx := context.Background()
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)
	fmt.Println(broker.Health().State)

	// An adapter that is not imported, or a URL that says nothing, is an error
	// at once, and no error shows a password.
	_, err = messaging.Open(ctx, "nats://user:secret@host/")
	fmt.Println(errors.Is(err, messaging.ErrURL), strings.Contains(err.Error(), "secret"))
	// Output:
	// connected
	// true false
}

func ExampleSchemes() {
	known := messaging.Schemes() // of the adapters that this program imports
	fmt.Println(slices.Contains(known, "memory"), slices.Contains(known, "nats"))
	// Output: true false
}

// Several hosts, which net/url refuses.
func ExampleParseURL() {
	u, err := messaging.ParseURL("amqp://guest@rabbit-1:5672,rabbit-2:5673/orders?heartbeat=10s")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Host, u.Path, u.Query().Get("heartbeat"))
	// Output: rabbit-1:5672,rabbit-2:5673 /orders 10s
}

// The consumers of a queue share its messages.
func ExampleQueue() {
	a := messaging.Queue("orders")
	fmt.Println(a, a.Name(), a.IsQueue())
	fmt.Println(messaging.Queue("").Validate())
	// Output:
	// queue:orders orders true
	// Address.Name is empty; it needs 1 to 255 bytes
}

// Each group of a topic gets a copy of each message.
func ExampleTopic() {
	a := messaging.Topic("orders")
	fmt.Println(a, a.IsTopic(), a == messaging.Queue("orders"))
	// Output: topic:orders true false
}

// In a configuration, an address is its text.
func ExampleParseAddress() {
	a, err := messaging.ParseAddress("topic:orders")
	fmt.Println(a == messaging.Topic("orders"), err)
	_, err = messaging.ParseAddress("orders")
	fmt.Println(err)
	// Output:
	// true <nil>
	// Address is "orders"; write queue:NAME or topic:NAME
}

// IDs that are made later sort after those made before.
func ExampleNewID() {
	first, second := messaging.NewID(), messaging.NewID()
	fmt.Println(len(first), first != second)
	// Output: 36 true
}

func ExampleJSON() {
	m, err := messaging.JSON(map[string]int{"id": 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", m.ContentType, m.Body)
	// Output: application/json {"id":1}
}
