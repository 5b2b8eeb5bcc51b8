package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/warrenmq/warren/pkg/messaging"
)

var pulling = []Case{
	{Rule: "C7", Name: "C7_redrive", run: c7Redrive,
		Text: "a dead letter that is redriven is stored where it failed, as new, before it leaves the dead-letter queue"},
	{Rule: "C7", Name: "C7_redrive_long_names", run: c7LongNames,
		Text: "dead letters can be redriven whatever the names: a group is bound, and its dead letters are redriven, where no name has room for a suffix"},
	{Rule: "C7", Name: "C7_redrive_to_nowhere", run: c7Nowhere,
		Text: "a dead letter that cannot be redriven stays where it is"},
	{Rule: "C1", Name: "C1_get", run: c1Get,
		Text: "Get takes a message as a consumer does: ErrEmpty where there is none, ErrNotFound where there is no queue"},
}

// deadLetters makes n dead letters m0, m1, ... of a new queue.
func (e *env) deadLetters(n int) (messaging.Address, error) {
	q, err := e.filled(n)
	if err != nil {
		return q, err
	}
	done := make(chan struct{}, n)
	s, err := e.subscribe(messaging.Source{Address: q}, func(_ context.Context, _ *messaging.Delivery) error {
		done <- struct{}{}
		return messaging.Reject(errors.New("on purpose"))
	})
	if err != nil {
		return q, err
	}
	for range n {
		if err := e.wait(e.ctx, done, "the handler"); err != nil {
			return q, err
		}
	}
	return q, s.stop()
}

func c7Redrive(e *env) error {
	q, err := e.deadLetters(5)
	if err != nil {
		return err
	}
	notM3 := func(d *messaging.Delivery) bool { return string(d.Body) != "m3" } // no rule says which dead letter is first
	n, err := messaging.Redrive(e.ctx, e.b, dead(q), messaging.RedriveOptions{Max: 1, Filter: notM3})
	if err != nil || n != 1 {
		return fmt.Errorf("redrive of one moved %d (%v)", n, err)
	}
	n, err = messaging.Redrive(e.ctx, e.b, dead(q), messaging.RedriveOptions{Filter: notM3})
	if err != nil || n != 3 {
		return fmt.Errorf("redrive of the others but m3 moved %d (%v)", n, err)
	}
	got, err := e.receive(q, 4)
	if err != nil {
		return err
	}
	if err := once(got, []string{"m0", "m1", "m2", "m4"}); err != nil {
		return err
	}
	for _, d := range got {
		if d.Attempt != 1 || len(d.Headers) != 0 {
			return fmt.Errorf("redriven, %q has Attempt %d and the headers %v", d.Body, d.Attempt, d.Headers)
		}
	}
	left, err := e.receive(dead(q), 1)
	if err != nil {
		return fmt.Errorf("what Filter refused is not in the dead-letter queue: %w", err)
	}
	return errors.Join(same(left, []string{"m3"}), e.empty(q), e.empty(dead(q)))
}

func c7LongNames(e *env) error {
	fill := func(name string) string { return name + strings.Repeat("n", messaging.MaxShort-len(name)) }
	topic := messaging.Topic(e.unique())
	src := messaging.Source{Address: topic, Group: strings.Repeat("g", messaging.MaxShort-len(topic.Name())-1)}
	if err := e.b.Bind(e.ctx, src); err != nil {
		return fmt.Errorf("bind a group whose queue has a name of %d bytes: %w", len(src.Queue().Name()), err)
	}
	if err := e.publish(topic, text("m0")); err != nil {
		return err
	}
	letters := messaging.Queue(fill(e.unique()))
	src.Retry = messaging.Retry{MaxAttempts: 1, DeadLetter: letters}
	in := newInbox()
	s, err := e.subscribe(src, in.fail)
	if err != nil {
		return err
	}
	if _, err := e.next(in); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	n, err := messaging.Redrive(e.ctx, e.b, letters, messaging.RedriveOptions{})
	if n != 1 || err != nil {
		return fmt.Errorf("redrive from a queue whose name has %d bytes moved %d of 1 messages: %w", len(letters.Name()), n, err)
	}
	if _, err := e.subscribe(src, in.accept); err != nil {
		return err
	}
	got, err := e.take(in, 1)
	if err != nil {
		return err
	}
	return same(got, []string{"m0"})
}

func c7Nowhere(e *env) error {
	q, err := e.deadLetters(1)
	if err != nil {
		return err
	}
	if err := e.b.Delete(e.ctx, q); err != nil {
		return err
	}
	n, err := messaging.Redrive(e.ctx, e.b, dead(q), messaging.RedriveOptions{})
	if n != 0 || !errors.Is(err, messaging.ErrUnroutable) {
		return fmt.Errorf("with its queue gone, redrive moved %d and returned %v, not ErrUnroutable", n, err)
	}
	left, err := e.receive(dead(q), 1)
	if err != nil {
		return fmt.Errorf("what could not be redriven is lost: %w", err)
	}
	return deadHeaders(left[0], q, messaging.ReasonRejected, "on purpose", 1)
}

func c1Get(e *env) error {
	q, err := e.filled(2)
	if err != nil {
		return err
	}
	src := messaging.Source{Address: q, Retry: quick}
	first, err := messaging.Get(e.ctx, e.b, src)
	if err != nil {
		return err
	}
	second, err := messaging.Get(e.ctx, e.b, src)
	if err != nil {
		return err
	}
	if err := e.empty(q); err != nil {
		return fmt.Errorf("with both messages held: %w", err)
	}
	if err := errors.Join(second.Settle(messaging.Reject(errors.New("on purpose"))), first.Settle(messaging.Requeue(nil))); err != nil {
		return err
	}
	if err := first.Settle(nil); !errors.Is(err, messaging.ErrSettled) {
		return fmt.Errorf("settled twice: %v", err)
	}
	got, err := e.receive(q, 1)
	if err != nil {
		return fmt.Errorf("requeued, and not back: %w", err)
	}
	if err := same(got, []string{"m0"}); err != nil {
		return err
	}
	letters, err := e.receive(dead(q), 1)
	if err != nil {
		return fmt.Errorf("rejected, and no dead letter: %w", err)
	}
	if err := same(letters, []string{"m1"}); err != nil {
		return err
	}
	missing := messaging.Source{Address: messaging.Queue(e.unique())}
	if _, err := messaging.Get(e.ctx, e.b, missing); !errors.Is(err, messaging.ErrNotFound) {
		return fmt.Errorf("get from a queue that does not exist: %v", err)
	}
	return nil
}
