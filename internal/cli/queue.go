package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Declare is what a program does about its queue before it uses it.
type Declare string

// The values of [Declare].
const (
	// DeclareMissing uses a queue as it is, whoever declared it and how, and
	// creates a durable one where there is none. It is the default.
	DeclareMissing Declare = "missing"
	// DeclareTutorial declares the queue of the tutorial's Python programs,
	// which is transient and, on RabbitMQ, classic. It is an error when the
	// queue exists with other properties.
	DeclareTutorial Declare = "tutorial"
	// DeclareNever uses a queue as it is. It is an error when there is none.
	DeclareNever Declare = "never"
)

func (d Declare) validate() error {
	switch d {
	case "", DeclareMissing, DeclareTutorial, DeclareNever:
		return nil
	}
	return fmt.Errorf("must be %s, %s or %s", DeclareMissing, DeclareTutorial, DeclareNever)
}

// CheckTarget says what is wrong with --queue, --topic and --declare.
func CheckTarget(queue, topic string, d Declare) error {
	if err := d.validate(); err != nil {
		return Usagef("--declare is %q; it %w", string(d), err)
	}
	switch {
	case topic == "":
		if err := messaging.Queue(queue).Validate(); err != nil {
			return &UsageError{inFlag("--queue", err)}
		}
		return nil
	case queue != "":
		return Usagef("--queue and --topic contradict each other; give one of them")
	case d != "":
		return Usagef("--declare and --topic contradict each other: it is about queues")
	}
	if err := messaging.Topic(topic).Validate(); err != nil {
		return &UsageError{inFlag("--topic", err)}
	}
	return nil
}

// PrepareQueue makes sure that the queue is there.
func PrepareQueue(ctx context.Context, m messaging.Manager, name string, d Declare) error {
	if d == DeclareTutorial {
		err := declare(ctx, m, messaging.QueueSpec{Name: name, Transient: true})
		if errors.Is(err, messaging.ErrMismatch) {
			return fmt.Errorf("%w; delete the queue, or use it as it is with --declare %s", err, DeclareMissing)
		}
		return err
	}
	_, err := m.Inspect(ctx, messaging.Queue(name))
	if !errors.Is(err, messaging.ErrNotFound) {
		return err
	}
	if d == DeclareNever {
		return fmt.Errorf("%w; --declare %s creates it", err, DeclareMissing)
	}
	err = declare(ctx, m, messaging.QueueSpec{Name: name})
	if errors.Is(err, messaging.ErrMismatch) {
		return nil // somebody was faster, and it is used as it is
	}
	return err
}

// declare declares a queue. One that nobody may declare is a usage error.
func declare(ctx context.Context, m messaging.Manager, q messaging.QueueSpec) error {
	if err := q.Validate(); err != nil {
		return &UsageError{inFlag("--queue", err)}
	}
	return m.Declare(ctx, q)
}
