package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// edges are sides of the rules that a broker can get wrong and still pass the
// other cases: switching off single decisions of the memory adapter found them.
var edges = []Case{
	{Rule: "T1", Name: "T1_caller_may_change", run: t1Change,
		Text: "after Publish to a topic returns, the caller may change the message and its body; no group sees that (rule P10)"},
	{Rule: "C2", Name: "C2_concurrency_is_prefetch", run: c2Prefetch,
		Text: "a message that is done makes room for the next at once: with Prefetch equal to Concurrency, exactly that many handlers run too"},
	{Rule: "C5", Name: "C5_retry_is_marked", run: c5Marked,
		Text: "what is tried again is marked Redelivered: a handler has seen it"},
	{Rule: "C8", Name: "C8_late_verdict", run: c8Late,
		Text: "the verdict on a delivery whose connection was lost does not settle the next delivery of the message"},
	{Rule: "C12", Name: "C12_connection_away", run: c12Away,
		Text: "when the connection is away for a while, the subscription resumes by itself as soon as it is back"},
	{Rule: "T2", Name: "T2_delayed_is_routed_late", run: t2RoutedLate,
		Text: "who gets a delayed message is decided when its delay is over: a group that was bound meanwhile gets it"},
}

func t1Change(e *env) error {
	src, err := e.bind(e.topic(), "g")
	if err != nil {
		return err
	}
	return e.changed(src.Address, src.Queue())
}

func c2Prefetch(e *env) error {
	const concurrency = 16
	return e.runs(messaging.Source{Concurrency: concurrency, Prefetch: concurrency}, 3*concurrency)
}

func c5Marked(e *env) error {
	_, got, _, err := e.handled(2, quick, func() error { return errors.New("try again") })
	if err != nil {
		return err
	}
	if got[0].Redelivered || !got[1].Redelivered {
		return fmt.Errorf("the first attempt has Redelivered %t, the second %t", got[0].Redelivered, got[1].Redelivered)
	}
	return nil
}

// c8Late acknowledges the first delivery, which was lost, while the second is
// being handled, and has that handed back: it must come a third time.
func c8Late(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	in := newInbox()
	var verdicts [3]chan error
	for i := range verdicts {
		verdicts[i] = make(chan error, 1)
	}
	e.atEnd(func() {
		for _, v := range verdicts {
			close(v)
		}
	})
	turn := make(chan int, len(verdicts))
	for i := range verdicts {
		turn <- i
	}
	s, err := e.subscribe(messaging.Source{Address: q, Concurrency: 2, Prefetch: 2, Retry: quick}, func(_ context.Context, d *messaging.Delivery) error {
		in.put(d)
		return <-verdicts[<-turn]
	})
	if err != nil {
		return err
	}
	if _, err := e.next(in); err != nil {
		return err
	}
	e.rig.Disconnect()
	e.rig.Reconnect()
	if _, err := e.next(in); err != nil {
		return fmt.Errorf("the connection was lost, and the message did not come again: %w", err)
	}
	verdicts[0] <- nil // too late
	if err := e.pass(50 * time.Millisecond); err != nil {
		return err
	}
	verdicts[1] <- messaging.Requeue(errors.New("not me"))
	if _, err := e.next(in); err != nil {
		return fmt.Errorf("the late acknowledgement of a lost delivery settled the next one: %w", err)
	}
	verdicts[2] <- nil
	if err := s.stop(); err != nil {
		return err
	}
	return e.empty(q)
}

func c12Away(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	return e.resumes(func(messaging.Address) error {
		e.rig.Disconnect()
		defer e.rig.Reconnect()
		moment := time.NewTimer(100 * time.Millisecond) // in which it tries in vain
		defer moment.Stop()
		<-moment.C
		return e.again("Health to notice that the connection is away", func() bool {
			return e.b.Health().State == messaging.Connecting && e.b.Health().Subscriptions == 0
		})
	})
}

func t2RoutedLate(e *env) error {
	topic := e.topic()
	before, err := e.bind(topic, "before", "other")
	if err != nil {
		return err
	}
	const delay = time.Second
	if err := e.publish(topic, &messaging.Message{Key: "k", Delay: delay, Body: []byte("m0")}); err != nil {
		return err
	}
	after, err := e.bind(topic, "after", "k")
	if err != nil {
		return err
	}
	in := newInbox()
	if _, err := e.subscribe(after, in.accept); err != nil {
		return err
	}
	if err := e.each(in, 1, same, "a group that was bound during the delay"); err != nil {
		return err
	}
	got, err := e.drained(before)
	if err != nil {
		return err
	}
	return same(got, nil)
}
