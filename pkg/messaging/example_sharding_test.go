package messaging_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"log"
	"sync"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Sharding: where one queue is not enough, several share its messages by key.
// Messages of one key are always in one queue, so they stay in order.
func Example_sharding() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, err := messaging.Open(ctx, brokerURL)
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(context.Background())

	var shards []messaging.Address
	for i := range 4 {
		name := fmt.Sprintf("orders-%d", i)
		// One process at a time consumes each of them, another takes over.
		if err := broker.Declare(ctx, messaging.QueueSpec{Name: name, SingleActive: true}); err != nil {
			log.Fatal(err)
		}
		shards = append(shards, messaging.Queue(name))
	}
	shardOf := func(key string) messaging.Address {
		h := fnv.New32a()
		h.Write([]byte(key))
		return shards[h.Sum32()%uint32(len(shards))]
	}

	customers := []string{"ann", "bob", "cleo", "dan"}
	for n := 1; n <= 3; n++ {
		for _, customer := range customers {
			m := &messaging.Message{Key: customer, Body: fmt.Appendf(nil, "order %d", n)}
			if err := broker.Publish(ctx, shardOf(customer), m); err != nil {
				log.Fatal(err)
			}
		}
	}

	var mu sync.Mutex
	handled := map[string][]string{}
	var orders, subscriptions sync.WaitGroup
	orders.Add(3 * len(customers))
	for _, shard := range shards {
		source := messaging.Source{
			Address:     shard,
			Concurrency: 8, // customers at once; the orders of one come one after another
			OrderBy:     func(d *messaging.Delivery) string { return d.Key },
		}
		subscriptions.Go(func() {
			err := broker.Subscribe(ctx, source, func(_ context.Context, d *messaging.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				handled[d.Key] = append(handled[d.Key], string(d.Body))
				orders.Done()
				return nil
			})
			if err != nil {
				log.Fatal(err)
			}
		})
	}
	orders.Wait()
	stop()
	subscriptions.Wait()
	for _, customer := range customers {
		fmt.Println(customer, handled[customer])
	}
	// Output:
	// ann [order 1 order 2 order 3]
	// bob [order 1 order 2 order 3]
	// cleo [order 1 order 2 order 3]
	// dan [order 1 order 2 order 3]
}
