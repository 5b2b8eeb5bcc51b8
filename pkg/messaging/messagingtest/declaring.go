package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// declaring are the sentences of messaging.QueueSpec and Manager.Declare. They
// have no number of their own: their rule is "Declare". MaxLength with
// RejectPublish is rule P9, TTL rule C14.
var declaring = []Case{
	{Rule: "Declare", Name: "Declare_again", run: declareAgain,
		Text: "Declare of a queue that exists with the same properties is nil, and leaves it as it is"},
	{Rule: "Declare", Name: "Declare_mismatch", run: declareMismatch,
		Text: "Declare of a queue that exists with other properties is ErrMismatch, naming the property"},
	{Rule: "Declare", Name: "Declare_drop_oldest", run: declareDropOldest,
		Text: "over MaxLength, DropOldest drops the message at the head of the queue, and Publish is nil"},
	{Rule: "Declare", Name: "Declare_single_active", run: declareSingleActive,
		Text: "SingleActive lets one consumer work at a time; when it leaves, one that stands by goes on"},
	{Rule: "Declare", Name: "Declare_auto_delete", run: declareAutoDelete,
		Text: "an AutoDelete queue is deleted when its last consumer leaves, and not before"},
	{Rule: "Declare", Name: "Declare_exclusive", run: declareExclusive,
		Text: "an Exclusive queue can be used through its Broker only, and goes with it"},
	{Rule: "Declare", Name: "Declare_transient", run: declareTransient,
		Text: "a Transient queue is a queue like any other for as long as the broker runs"},
}

func declareAgain(e *env) error {
	for property, set := range map[string]func(*messaging.QueueSpec){
		"no property":  func(*messaging.QueueSpec) {},
		"MaxLength":    func(s *messaging.QueueSpec) { s.MaxLength = 100 },
		"DropOldest":   func(s *messaging.QueueSpec) { s.MaxLength, s.Overflow = 100, messaging.DropOldest },
		"TTL":          func(s *messaging.QueueSpec) { s.TTL = time.Hour },
		"SingleActive": func(s *messaging.QueueSpec) { s.SingleActive = true },
		"Transient":    func(s *messaging.QueueSpec) { s.Transient = true },
		"AutoDelete":   func(s *messaging.QueueSpec) { s.AutoDelete = true },
		"Exclusive":    func(s *messaging.QueueSpec) { s.Exclusive = true },
	} {
		q, err := e.queue(set)
		if err != nil {
			return err
		}
		if err := e.publish(q, text("kept")); err != nil {
			return err
		}
		spec := messaging.QueueSpec{Name: q.Name()}
		set(&spec)
		if err := e.b.Declare(e.ctx, spec); err != nil {
			return fmt.Errorf("declared twice with %s: %w", property, err)
		}
		if _, err := e.receive(q, 1); err != nil {
			return fmt.Errorf("declared twice with %s, it does not have its message: %w", property, err)
		}
	}
	return nil
}

func declareMismatch(e *env) error {
	spec := messaging.QueueSpec{Name: e.unique(), MaxLength: 5, TTL: time.Hour}
	if err := e.b.Declare(e.ctx, spec); err != nil {
		return err
	}
	for property, set := range map[string]func(*messaging.QueueSpec){
		"MaxLength":    func(s *messaging.QueueSpec) { s.MaxLength = 6 },
		"Overflow":     func(s *messaging.QueueSpec) { s.Overflow = messaging.DropOldest },
		"TTL":          func(s *messaging.QueueSpec) { s.TTL = 0 },
		"SingleActive": func(s *messaging.QueueSpec) { s.SingleActive = true },
		"Transient":    func(s *messaging.QueueSpec) { s.Transient = true },
		"AutoDelete":   func(s *messaging.QueueSpec) { s.AutoDelete = true },
		"Exclusive":    func(s *messaging.QueueSpec) { s.Exclusive = true },
	} {
		other := spec
		set(&other)
		switch err := e.b.Declare(e.ctx, other); {
		case !errors.Is(err, messaging.ErrMismatch):
			return fmt.Errorf("declared with another %s it gave %v, not ErrMismatch", property, err)
		case !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(property)):
			return fmt.Errorf("declared with another %s, it is not named: %w", property, err)
		}
	}
	if err := e.b.Declare(e.ctx, spec); err != nil {
		return fmt.Errorf("after the mismatches, as it was: %w", err)
	}
	return nil
}

func declareDropOldest(e *env) error {
	q, err := e.queue(func(s *messaging.QueueSpec) { s.MaxLength, s.Overflow = 3, messaging.DropOldest })
	if err != nil {
		return err
	}
	if err := e.publish(q, texts("m", 10)...); err != nil {
		return err
	}
	got, err := e.receive(q, 3)
	if err != nil {
		return err
	}
	return errors.Join(same(got, bodies("m", 10)[7:]), e.empty(q))
}

func declareSingleActive(e *env) error {
	q, err := e.queue(func(s *messaging.QueueSpec) { s.SingleActive = true })
	if err != nil {
		return err
	}
	active, standby := newInbox(), newInbox()
	first, err := e.subscribe(messaging.Source{Address: q, Prefetch: 1}, active.accept)
	if err != nil {
		return err
	}
	if _, err := e.subscribe(messaging.Source{Address: q, Prefetch: 1}, standby.accept); err != nil {
		return err
	}
	if err := e.publish(q, texts("m", 20)...); err != nil {
		return err
	}
	got, err := e.take(active, 20)
	if err != nil {
		return fmt.Errorf("one consumer is active, one stands by and got %d messages: %w", len(standby), err)
	}
	if err := same(got, bodies("m", 20)); err != nil {
		return err
	}
	if err := first.stop(); err != nil {
		return err
	}
	if err := e.publish(q, text("next")); err != nil {
		return err
	}
	got, err = e.take(standby, 1)
	if err != nil {
		return fmt.Errorf("the active consumer left, and the other does not go on: %w", err)
	}
	return same(got, []string{"next"})
}

func declareAutoDelete(e *env) error {
	q, err := e.queue(func(s *messaging.QueueSpec) { s.AutoDelete = true })
	if err != nil {
		return err
	}
	var consumers [2]*subscription
	for i := range consumers {
		if consumers[i], err = e.subscribe(messaging.Source{Address: q}, newInbox().accept); err != nil {
			return err
		}
	}
	if err := consumers[0].stop(); err != nil {
		return err
	}
	if _, err := e.b.Inspect(e.ctx, q); err != nil {
		return fmt.Errorf("one of two consumers left: %w", err)
	}
	if h := e.b.Health(); h.LastError != nil { // the other may have declared it again
		return fmt.Errorf("one of two consumers left, and Health says %s", h)
	}
	if err := consumers[1].stop(); err != nil {
		return err
	}
	if err := e.goes(e.b, q); err != nil {
		return fmt.Errorf("the last consumer left: %w", err)
	}
	return nil
}

// goes waits until b says that there is no queue q.
func (e *env) goes(b messaging.Manager, q messaging.Address) error {
	return e.again(fmt.Sprintf("%s to be gone", q), func() bool {
		_, err := b.Inspect(e.ctx, q)
		return errors.Is(err, messaging.ErrNotFound)
	})
}

func declareExclusive(e *env) error {
	q, err := e.queue(func(s *messaging.QueueSpec) { s.Exclusive = true })
	if err != nil {
		return err
	}
	others, err := e.h.Open(e.ctx)
	if err != nil {
		return err
	}
	defer others.close()
	if err := e.publish(q, text("mine")); err != nil {
		return err
	}
	if p, err := messaging.Get(e.ctx, others.Broker, messaging.Source{Address: q}); err == nil {
		return fmt.Errorf("another Broker got %q out of it", p.Body)
	}
	got, err := e.receive(q, 1)
	if err != nil {
		return err
	}
	if err := same(got, []string{"mine"}); err != nil {
		return err
	}
	if err := e.closeBroker(closeTimeout); err != nil {
		return err
	}
	return e.goes(others.Broker, q)
}

// close ends a Rig that a case has opened.
func (r *Rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = r.Broker.Close(ctx) // not what the case is about
	if r.Close != nil {
		r.Close()
	}
}

func declareTransient(e *env) error {
	q, err := e.queue(func(s *messaging.QueueSpec) { s.Transient = true })
	if err != nil {
		return err
	}
	if err := e.publish(q, texts("m", 10)...); err != nil {
		return err
	}
	got, err := e.receive(q, 10)
	if err != nil {
		return err
	}
	return errors.Join(same(got, bodies("m", 10)), e.empty(q))
}
