package messaging_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	_ "github.com/warrenmq/warren/adapters/memory"   // memory://
	_ "github.com/warrenmq/warren/adapters/rabbitmq" // amqp://
	"github.com/warrenmq/warren/pkg/messaging"
)

// brokerURL is what the examples run on: the broker in memory. On RabbitMQ the
// same code prints the same, as TestExamplesOnRabbitMQ shows.
var brokerURL = cmp.Or(os.Getenv(envExamplesURL), "memory://")

// Simple: a producer sends a message to a queue, and a consumer receives it.
//
//	producer --> [hello] --> consumer
func Example_simple() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, err := messaging.Open(ctx, brokerURL) // the URL alone says which broker it is
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(context.Background())

	// The producer. nil means that the broker has stored the message.
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: "hello"}); err != nil {
		log.Fatal(err)
	}
	hello := messaging.Queue("hello")
	if err := broker.Publish(ctx, hello, &messaging.Message{Body: []byte("Hello World!")}); err != nil {
		log.Fatal(err)
	}

	// The consumer. Subscribe returns when its context has ended and all is settled.
	err = broker.Subscribe(ctx, messaging.Source{Address: hello}, func(_ context.Context, d *messaging.Delivery) error {
		fmt.Printf("received %q from %s, attempt %d\n", d.Body, d.From, d.Attempt)
		stop() // one message is enough for an example
		return nil
	})
	fmt.Println("drained:", err)
	// Output:
	// received "Hello World!" from queue:hello, attempt 1
	// drained: <nil>
}

// Worker: the consumers of one queue share its messages. Each message is
// handled by one of them, and the next goes to whoever is free.
//
//	                      /--> worker
//	producer --> [tasks] <
//	                      \--> worker
func Example_worker() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(context.Background())

	tasks := messaging.Queue("tasks")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: "tasks"}); err != nil {
		log.Fatal(err)
	}
	err = broker.Publish(ctx, tasks,
		&messaging.Message{Body: []byte("a long task")},
		&messaging.Message{Body: []byte("short task 1")},
		&messaging.Message{Body: []byte("short task 2")},
		&messaging.Message{Body: []byte("short task 3")},
	)
	if err != nil {
		log.Fatal(err)
	}

	var short sync.WaitGroup
	short.Add(3)
	work := func(_ context.Context, d *messaging.Delivery) error {
		if string(d.Body) == "a long task" {
			short.Wait() // it takes as long as all the others
			defer stop()
		} else {
			defer short.Done()
		}
		fmt.Println("done:", string(d.Body))
		return nil // acknowledged; had this process died instead, another worker would get it
	}

	// Two workers, most often processes of their own. With a prefetch of 1
	// nobody waits in the hands of the one that is busy.
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			if err := broker.Subscribe(ctx, messaging.Source{Address: tasks, Prefetch: 1}, work); err != nil {
				log.Fatal(err)
			}
		})
	}
	workers.Wait()
	// Output:
	// done: short task 1
	// done: short task 2
	// done: short task 3
	// done: a long task
}

// Publish/Subscribe: everybody who listens to a topic gets everything that is
// sent to it while they do.
//
//	                    /--> [private] --> listener
//	producer --> (news)<
//	                    \--> [private] --> listener
func Example_publishSubscribe() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(context.Background())

	news := messaging.Topic("news")
	var ready, received, listeners sync.WaitGroup
	for _, name := range []string{"radio", "paper"} {
		ready.Add(1)
		received.Add(2)
		source := messaging.Source{Address: news, Ready: sync.OnceFunc(ready.Done)} // no Group: private
		listeners.Go(func() {
			err := broker.Subscribe(ctx, source, func(_ context.Context, d *messaging.Delivery) error {
				fmt.Printf("%s: %s\n", name, d.Body)
				received.Done()
				return nil
			})
			if err != nil {
				log.Fatal(err)
			}
		})
	}

	ready.Wait() // a private subscription gets what is published from now on
	err = broker.Publish(ctx, news,
		&messaging.Message{Body: []byte("a rabbit was seen")},
		&messaging.Message{Body: []byte("it was orange")},
	)
	if err != nil {
		log.Fatal(err)
	}
	received.Wait()
	stop()
	listeners.Wait()
	// Unordered output:
	// radio: a rabbit was seen
	// radio: it was orange
	// paper: a rabbit was seen
	// paper: it was orange
}

// Routing: a message has a key, and each group of subscribers receives the keys
// that it asks for. The group keeps its messages while nobody reads them.
//
//	                    /-- error ----------------> [logs.disk] ----> consumer
//	producer --> (logs)<
//	                    \-- info, warning, error -> [logs.screen] --> consumer
func Example_routing() {
	ctx := context.Background()
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)

	logs := messaging.Topic("logs")
	groups := []messaging.Source{
		{Address: logs, Group: "disk", Keys: []string{"error"}},
		{Address: logs, Group: "screen", Keys: []string{"info", "warning", "error"}},
	}
	for _, group := range groups {
		// Subscribe does this too. Bind is for messages that are sent before.
		if err := broker.Bind(ctx, group); err != nil {
			log.Fatal(err)
		}
	}
	err = broker.Publish(ctx, logs,
		&messaging.Message{Key: "debug", Body: []byte("cache miss")}, // nobody asks for it
		&messaging.Message{Key: "info", Body: []byte("started")},
		&messaging.Message{Key: "error", Body: []byte("disk full")},
	)
	if err != nil {
		log.Fatal(err)
	}

	for _, group := range groups {
		ctx, stop := context.WithCancel(ctx)
		err := broker.Subscribe(ctx, group, func(_ context.Context, d *messaging.Delivery) error {
			fmt.Printf("%s: %s: %s\n", group.Group, d.Key, d.Body)
			if d.Key == "error" { // the last of both groups
				stop()
			}
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// disk: error: disk full
	// screen: info: started
	// screen: error: disk full
}

// Topics: keys are words separated by dots, and groups ask for patterns of
// them. In a pattern, * is exactly one word, and # any number of words.
//
//	                      /-- order.*.placed -> [shop.billing] --> consumer
//	producer --> (shop) <---- *.eu.# ---------> [shop.europe] ---> consumer
//	                      \-- # --------------> [shop.audit] ----> consumer
func Example_topics() {
	ctx := context.Background()
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)

	shop := messaging.Topic("shop")
	groups := []messaging.Source{
		{Address: shop, Group: "billing", Keys: []string{"order.*.placed"}},
		{Address: shop, Group: "europe", Keys: []string{"*.eu.#"}},
		{Address: shop, Group: "audit"}, // no Keys: everything
	}
	for _, group := range groups {
		if err := broker.Bind(ctx, group); err != nil {
			log.Fatal(err)
		}
	}
	for _, key := range []string{"order.us.placed", "order.eu.shipped", "refund.eu", "order.eu.placed"} {
		if err := broker.Publish(ctx, shop, &messaging.Message{Key: key}); err != nil {
			log.Fatal(err)
		}
	}

	for _, group := range groups {
		ctx, stop := context.WithCancel(ctx)
		err := broker.Subscribe(ctx, group, func(_ context.Context, d *messaging.Delivery) error {
			fmt.Printf("%s: %s\n", group.Group, d.Key)
			if d.Key == "order.eu.placed" { // the last of all groups
				stop()
			}
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// billing: order.us.placed
	// billing: order.eu.placed
	// europe: order.eu.shipped
	// europe: refund.eu
	// europe: order.eu.placed
	// audit: order.us.placed
	// audit: order.eu.shipped
	// audit: refund.eu
	// audit: order.eu.placed
}

// Request/Reply: a request goes to a queue like any other message, and the
// reply comes back to the one who asked. A responder's error does, too.
//
//	requester --> [fibonacci] --> responder
//	    ^                             |
//	    \----- [a reply queue] <------/
func ExampleRequest() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute) // a request has a deadline
	defer stop()
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(context.Background())

	fibonacci := messaging.Queue("fibonacci")
	if err := broker.Declare(ctx, messaging.QueueSpec{Name: "fibonacci"}); err != nil {
		log.Fatal(err)
	}
	answer := messaging.Respond(broker, func(_ context.Context, d *messaging.Delivery) (*messaging.Message, error) {
		n, err := strconv.Atoi(string(d.Body))
		if err != nil {
			return nil, errors.New("that is no number")
		}
		a, b := 0, 1
		for range n {
			a, b = b, a+b
		}
		return &messaging.Message{Body: []byte(strconv.Itoa(a))}, nil
	})
	var responder sync.WaitGroup
	responder.Go(func() {
		if err := broker.Subscribe(ctx, messaging.Source{Address: fibonacci}, answer); err != nil {
			log.Fatal(err)
		}
	})

	for _, n := range []string{"30", "ninety"} {
		reply, err := messaging.Request(ctx, broker, fibonacci, &messaging.Message{Body: []byte(n)})
		if failed := (*messaging.ReplyError)(nil); errors.As(err, &failed) {
			fmt.Printf("fibonacci(%s): %s\n", n, failed.Text)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("fibonacci(%s) is %s\n", n, reply.Body)
	}
	stop()
	responder.Wait()
	// Output:
	// fibonacci(30) is 832040
	// fibonacci(ninety): that is no number
}
