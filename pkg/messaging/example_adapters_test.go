package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// The examples of this file are for who writes an adapter.

// The one place where it is decided what a verdict means.
func ExampleDecide() {
	retry := messaging.Source{Address: messaging.Queue("orders")}.WithDefaults().Retry // five attempts, from 1 s on
	down := errors.New("the database is down")
	for _, d := range []messaging.Decision{
		messaging.Decide(nil, 1, retry),
		messaging.Decide(messaging.Requeue(down), 1, retry),
		messaging.Decide(messaging.RetryAfter(time.Hour, down), 1, retry),
		messaging.Decide(down, 5, retry),
		messaging.Decide(messaging.Reject(down), 1, retry),
	} {
		fmt.Printf("%s, wait %s, reason %q\n", d.Action, d.Wait, d.Reason)
	}
	// Output:
	// acknowledge, wait 0s, reason ""
	// release, wait 0s, reason ""
	// again, wait 1h0m0s, reason ""
	// dead-letter, wait 0s, reason "attempts"
	// dead-letter, wait 0s, reason "rejected"
}

// What an adapter does first in Publish.
func ExamplePrepare() {
	m := &messaging.Message{Body: []byte("order 1")}
	fmt.Println(messaging.Prepare(messaging.Queue("orders"), []*messaging.Message{m}))
	fmt.Println(m.ID != "", m.Time.IsZero())

	bad := &messaging.Message{Headers: map[string]string{"": "value"}}
	fmt.Println(messaging.Prepare(messaging.Queue("orders"), []*messaging.Message{m, bad}))
	// Output:
	// <nil>
	// true false
	// publish to queue:orders: message 1: Message.Headers has an empty key
}

// And then with each message.
func ExampleCheckSize() {
	const most = 8 // bytes, a small broker
	for _, body := range []string{"order 1", "orders 2 to 10"} {
		err := messaging.CheckSize(&messaging.Message{Body: []byte(body)}, most)
		fmt.Println(errors.Is(err, messaging.ErrTooLarge), err)
	}
	// Output:
	// false <nil>
	// true message too large: the body has 14 bytes; the limit is 8
}

// What an adapter does first in Subscribe.
func ExampleCheckSubscribe() {
	handler := func(context.Context, *messaging.Delivery) error { return nil }
	src, err := messaging.CheckSubscribe(messaging.Source{Address: messaging.Queue("orders")}, handler)
	fmt.Println(src.Concurrency, src.Retry.MaxAttempts, src.Retry.DeadLetter, err)
	_, err = messaging.CheckSubscribe(messaging.Source{}, handler)
	fmt.Println(err)
	// Output:
	// 1 5 queue:orders.dead <nil>
	// subscribe: Source.Address is empty; use Queue(name) or Topic(name)
}

// And in Bind.
func ExampleCheckBind() {
	fmt.Println(messaging.CheckBind(messaging.Source{Address: messaging.Topic("orders"), Group: "billing"}))
	fmt.Println(messaging.CheckBind(messaging.Source{Address: messaging.Topic("orders")}))
	// Output:
	// <nil>
	// bind topic:orders: Source.Group is empty; name the group whose queue is to be bound
}

// Why a message is among the dead letters.
func ExampleDeadLetterHeaders() {
	retry := messaging.Source{Address: messaging.Queue("orders")}.WithDefaults().Retry
	decision := messaging.Decide(messaging.Reject(errors.New("no such customer")), 1, retry)
	headers := messaging.DeadLetterHeaders(messaging.Queue("orders"), 1, decision)
	for _, key := range []string{messaging.HeaderDeadFrom, messaging.HeaderDeadReason, messaging.HeaderDeadError} {
		fmt.Println(headers[key])
	}
	// Output:
	// queue:orders
	// rejected
	// no such customer
}

// Redrive takes these headers away again.
func ExampleIsDeadLetterHeader() {
	keys := []string{"tenant", messaging.HeaderDeadReason}
	fmt.Println(slices.DeleteFunc(keys, messaging.IsDeadLetterHeader))
	// Output: [tenant]
}

// An adapter that answers Get: the receiver settles, and the adapter is told
// the verdict, once.
func ExampleNewPending() {
	p := messaging.NewPending(messaging.Delivery{Attempt: 1}, func(verdict error) error {
		fmt.Println("verdict:", verdict)
		return nil
	})
	fmt.Println(p.Settle(nil))
	fmt.Println(errors.Is(p.Settle(nil), messaging.ErrSettled))
	// Output:
	// verdict: <nil>
	// <nil>
	// true
}
