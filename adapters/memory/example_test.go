package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// A message goes in, and what the service makes of it is looked at when
// everything is settled.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	broker := memory.New(memory.WithRecording())
	defer broker.Close(context.Background())
	defer stop()

	upper := func(ctx context.Context, d *messaging.Delivery) error { // the service
		return broker.Publish(ctx, messaging.Topic("events"), &messaging.Message{
			Key: "order.taken", Body: append([]byte("taken: "), d.Body...)})
	}
	ready := make(chan struct{})
	go func() {
		_ = broker.Subscribe(ctx, messaging.Source{
			Address: messaging.Queue("orders"), Ready: func() { close(ready) }}, upper)
	}()
	<-ready

	_ = broker.Publish(ctx, messaging.Queue("orders"), &messaging.Message{Body: []byte("a book")})
	fmt.Println(broker.WaitIdle(ctx))
	for _, m := range broker.Published(messaging.Topic("events")) {
		fmt.Printf("%s %q\n", m.Key, m.Body)
	}
	// Output:
	// <nil>
	// order.taken "taken: a book"
}

// shop is a service as any other: it takes orders, has each of them paid, and
// publishes a receipt. It knows the interfaces of package messaging only, and
// the queues' names.
type shop struct {
	publisher  messaging.Publisher
	subscriber messaging.Subscriber
	pay        func(order string) error

	paid map[string]bool // by the order's ID, so that nobody pays twice
}

var (
	orders   = messaging.Queue("orders")
	receipts = messaging.Queue("receipts")
)

func (s *shop) run(ctx context.Context) error {
	return s.subscriber.Subscribe(ctx, messaging.Source{
		Address: orders,
		Retry:   messaging.Retry{MaxAttempts: 3, Min: time.Minute, Max: time.Hour},
	}, s.take)
}

func (s *shop) take(ctx context.Context, d *messaging.Delivery) error {
	if !s.paid[d.ID] {
		if err := s.pay(string(d.Body)); err != nil {
			return err
		}
		s.paid[d.ID] = true
	}
	// The receipt has an ID that follows from the order's, so that one that is
	// sent twice can be recognised.
	return s.publisher.Publish(ctx, receipts, &messaging.Message{ID: "receipt-" + d.ID, Body: d.Body})
}

// faulty is what goes wrong in one row of the table, and what must come of it.
// One order is sent.
type faulty struct {
	name   string
	before func(b *memory.Broker) // the service has started
	during func(b *memory.Broker) // the first payment is being made

	receipts    int           // messages that say so; all have one ID
	deadLetters int           // orders that were given up
	took        time.Duration // at least, until everything was settled
}

var everyFault = []faulty{
	{name: "nothing", receipts: 1},

	// Publishing the receipt.
	{name: "one receipt is refused", receipts: 1, took: time.Minute,
		before: func(b *memory.Broker) { b.OnPublish(memory.Fault{To: receipts, Err: messaging.ErrRejected}) }},
	{name: "all receipts are refused", deadLetters: 1, took: 3 * time.Minute,
		before: func(b *memory.Broker) {
			b.OnPublish(memory.Fault{To: receipts, Times: -1, Err: messaging.ErrRejected})
		}},
	{name: "a confirmation comes late", receipts: 1, took: 10 * time.Second,
		before: func(b *memory.Broker) { b.OnPublish(memory.Fault{To: receipts, ConfirmAfter: 10 * time.Second}) }},
	{name: "a confirmation is lost", receipts: 2, took: time.Minute, // it may be stored or not, so it is sent again
		before: func(b *memory.Broker) { b.OnPublish(memory.Fault{To: receipts, NoConfirm: true}) }},
	{name: "the broker is short of memory", receipts: 1, took: 20 * time.Second,
		during: func(b *memory.Broker) {
			b.Block("low on memory")
			time.AfterFunc(20*time.Second, b.Unblock)
		}},
	{name: "nobody has declared the queue of receipts", deadLetters: 1, took: 3 * time.Minute,
		before: func(b *memory.Broker) { _ = b.Delete(context.Background(), receipts) }},

	// Receiving the order.
	{name: "the order comes twice", receipts: 2,
		before: func(b *memory.Broker) { b.OnPublish(memory.Fault{To: orders, Twice: true}) }},
	{name: "the connection is lost", receipts: 2, took: 20 * time.Second, // the order comes again, and its receipt
		during: func(b *memory.Broker) {
			b.Disconnect()
			time.AfterFunc(20*time.Second, b.Reconnect)
		}},
	{name: "the order is delivered again", receipts: 2,
		during: func(b *memory.Broker) { b.Redeliver(orders) }},
	{name: "the consumer is cancelled", receipts: 1,
		during: func(b *memory.Broker) { b.CancelConsumers(orders) }},
	{name: "the queue of orders is deleted", receipts: 1,
		during: func(b *memory.Broker) { _ = b.Delete(context.Background(), orders) }},
}

// TestShopSurvivesEveryFault is how a service is tested against a broker that
// breaks: the minutes in it pass at once.
func TestShopSurvivesEveryFault(t *testing.T) {
	for _, row := range everyFault {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testShop(t, row) })
		})
	}
}

func testShop(t *testing.T, row faulty) {
	ctx, stop := context.WithCancel(t.Context())
	broker := memory.New(memory.WithRecording(), memory.WithLogger(slog.New(slog.DiscardHandler)))
	must(t, broker.Declare(ctx, messaging.QueueSpec{Name: orders.Name()}))
	must(t, broker.Declare(ctx, messaging.QueueSpec{Name: receipts.Name()}))
	payments := 0
	pay := func(string) error {
		if payments++; payments == 1 && row.during != nil {
			row.during(broker)
		}
		return nil
	}
	s := &shop{publisher: broker, subscriber: broker, pay: pay, paid: map[string]bool{}}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	synctest.Wait() // until it is subscribed
	if row.before != nil {
		row.before(broker)
	}

	start := time.Now()
	order := &messaging.Message{Body: []byte("a book")}
	must(t, broker.Publish(ctx, orders, order))
	must(t, broker.WaitIdle(ctx, memory.IgnoreQueues(receipts))) // which nobody reads here

	if payments != 1 {
		t.Errorf("paid %d times", payments)
	}
	if took := time.Since(start); took < row.took {
		t.Errorf("settled after %s, want at least %s", took, row.took)
	}
	if n := len(broker.DeadLetters(orders)); n != row.deadLetters {
		t.Errorf("%d dead letters, want %d", n, row.deadLetters)
	}
	sent := broker.Published(receipts)
	if len(sent) != row.receipts {
		t.Errorf("%d receipts, want %d", len(sent), row.receipts)
	}
	for _, m := range sent {
		if m.ID != "receipt-"+order.ID {
			t.Errorf("a receipt has the ID %s", m.ID)
		}
	}
	stop()
	must(t, <-ended)
	must(t, broker.Close(context.Background()))
}

// TestBackOffOfHours takes no time: what waits for a retry waits on the clock
// of the bubble.
func TestBackOffOfHours(t *testing.T) {
	real := time.Now() // outside of the bubble
	synctest.Test(t, testBackOffOfHours)
	if took := time.Since(real); took > time.Minute {
		t.Errorf("took %s", took)
	}
}

func testBackOffOfHours(t *testing.T) {
	const n = 100
	ctx, stop := context.WithCancel(t.Context())
	broker := memory.New()
	handled := map[string][]time.Time{} // by message: when
	src := messaging.Source{Address: orders, Retry: messaging.Retry{MaxAttempts: 3, Min: time.Hour, Max: 24 * time.Hour}}
	r := subscribe(t, broker, src, func(_ context.Context, d *messaging.Delivery) error {
		if handled[d.ID] = append(handled[d.ID], time.Now()); d.Attempt < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	must(t, broker.Publish(ctx, orders, messages(numbered(n)...)...))
	must(t, broker.WaitIdle(ctx))
	waits := map[time.Duration]bool{}
	for id, at := range handled {
		first, second := at[1].Sub(at[0]), at[2].Sub(at[1])
		if first < time.Hour || first > 75*time.Minute || second < 2*time.Hour || second > 150*time.Minute {
			t.Errorf("%s was tried again after %s, then %s", id, first, second)
		}
		waits[first] = true
	}
	if len(handled) != n || len(waits) < n/2 { // what failed together does not come back together
		t.Errorf("%d messages came back at %d moments", len(handled), len(waits))
	}
	r.end()
	stop()
	must(t, broker.Close(context.Background()))
}
