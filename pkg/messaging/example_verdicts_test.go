package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Of no use now, nor ever: the message is dead-lettered at the first attempt,
// with the reason.
func ExampleReject() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, queue := opened(ctx, "reject")
	defer broker.Close(context.Background())

	dead := messaging.Source{Address: queue}.WithDefaults().Retry.DeadLetter
	handled := make(chan error, 1)
	go func() {
		handled <- broker.Subscribe(ctx, messaging.Source{Address: queue}, func(context.Context, *messaging.Delivery) error {
			return messaging.Reject(errors.New("no such customer"))
		})
	}()
	if err := broker.Publish(ctx, queue, &messaging.Message{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}
	for m, err := range messaging.Messages(ctx, broker, messaging.Source{Address: dead}, time.Minute) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s, attempt %s\n", m.Body, m.Headers[messaging.HeaderDeadError], m.Headers[messaging.HeaderDeadAttempts])
		if err := m.Settle(nil); err != nil {
			log.Fatal(err)
		}
		break
	}
	stop()
	fmt.Println(<-handled)
	// Output:
	// order 1: no such customer, attempt 1
	// <nil>
}

// Not here, not now: somebody else gets the message at once, and it counts as
// no attempt.
func ExampleRequeue() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, queue := opened(ctx, "requeue")
	defer broker.Close(context.Background())

	if err := broker.Publish(ctx, queue, &messaging.Message{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}
	busy := true
	err := broker.Subscribe(ctx, messaging.Source{Address: queue}, func(_ context.Context, d *messaging.Delivery) error {
		fmt.Printf("%s, attempt %d\n", d.Body, d.Attempt)
		if busy {
			busy = false
			return messaging.Requeue(errors.New("busy"))
		}
		stop()
		return nil
	})
	fmt.Println(err)
	// Output:
	// order 1, attempt 1
	// order 1, attempt 1
	// <nil>
}

// The handler knows better than Source.Retry when to try again.
func ExampleRetryAfter() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, queue := opened(ctx, "retry-after")
	defer broker.Close(context.Background())

	if err := broker.Publish(ctx, queue, &messaging.Message{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}
	var failed time.Time
	err := broker.Subscribe(ctx, messaging.Source{Address: queue}, func(_ context.Context, d *messaging.Delivery) error {
		if d.Attempt == 1 {
			failed = time.Now()
			return messaging.RetryAfter(50*time.Millisecond, errors.New("the shop opens in a moment"))
		}
		fmt.Printf("%s, attempt %d, waited: %t\n", d.Body, d.Attempt, time.Since(failed) >= 50*time.Millisecond)
		stop()
		return nil
	})
	fmt.Println(err)
	// Output:
	// order 1, attempt 2, waited: true
	// <nil>
}

// What a requester gets is what the function returns, its error included; see
// the example of Request for the other side.
func ExampleRespond() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	broker, queue := opened(ctx, "respond")
	defer broker.Close(context.Background())

	greet := messaging.Respond(broker, func(_ context.Context, d *messaging.Delivery) (*messaging.Message, error) {
		if len(d.Body) == 0 {
			return nil, errors.New("who are you?")
		}
		return &messaging.Message{Body: append([]byte("Hello "), d.Body...)}, nil
	})
	responding := make(chan error, 1)
	serve, end := context.WithCancel(ctx)
	go func() { responding <- broker.Subscribe(serve, messaging.Source{Address: queue}, greet) }()

	for _, name := range []string{"World", ""} {
		reply, err := messaging.Request(ctx, broker, queue, &messaging.Message{Body: []byte(name)})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s\n", reply.Body)
	}
	end()
	fmt.Println(<-responding)
	// Output:
	// Hello World
	// queue:example-respond replied: who are you?
	// <nil>
}

// For many requests that are not all of one broker's life: Request makes one
// that lives as long as its Broker.
func ExampleNewRequester() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	broker, queue := opened(ctx, "requester")
	defer broker.Close(context.Background())

	serve, end := context.WithCancel(ctx)
	responding := make(chan error, 1)
	echo := messaging.Respond(broker, func(_ context.Context, d *messaging.Delivery) (*messaging.Message, error) {
		return &messaging.Message{Body: d.Body}, nil
	})
	go func() { responding <- broker.Subscribe(serve, messaging.Source{Address: queue}, echo) }()

	requester := messaging.NewRequester(broker)
	for _, text := range []string{"one", "two"} {
		reply, err := requester.Request(ctx, queue, &messaging.Message{Body: []byte(text)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", reply.Body)
	}
	requester.Close()
	end()
	fmt.Println(<-responding)
	// Output:
	// one
	// two
	// <nil>
}

// opened opens the broker and declares a queue for an example.
func opened(ctx context.Context, name string) (messaging.Broker, messaging.Address) {
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	queue := messaging.Queue("example-" + name)
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()}); err != nil {
		log.Fatal(err)
	}
	return broker, queue
}
