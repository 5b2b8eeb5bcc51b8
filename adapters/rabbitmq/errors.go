package rabbitmq

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// meaning is what a reply code means.
type meaning struct {
	text     string
	sentinel error
}

// replies is what the broker's reply codes mean to a caller
// (https://www.rabbitmq.com/amqp-0-9-1-reference#constants): a sentence, and
// the sentinel for errors.Is where there is one.
var replies = map[int]meaning{
	amqp.ContentTooLarge:    {"too large for the broker", messaging.ErrTooLarge},
	amqp.NoRoute:            {"no such queue", messaging.ErrUnroutable},
	amqp.ConnectionForced:   {"the broker closed the connection", nil},
	amqp.AccessRefused:      {"access refused; check the user, its password and its permissions in the virtual host", nil},
	amqp.NotFound:           {"not found", messaging.ErrNotFound},
	amqp.ResourceLocked:     {"the queue is locked", nil},
	amqp.PreconditionFailed: {"the broker refused it", nil},
	amqp.FrameError:         {"connection lost", nil},
	amqp.NotAllowed:         {"not allowed; check that the virtual host exists and that the user may use it", nil},
	amqp.NotImplemented:     {"the broker does not offer this", errors.ErrUnsupported},
	amqp.InternalError:      {"the broker failed or refuses this", nil},
}

// lockOf says why a queue is locked, as far as RabbitMQ's reason tells; nil where
// it does not. The code for it is also that of a basic.get where only one
// consumer is to be active.
func lockOf(reply *amqp.Error) *meaning {
	switch {
	case reply.Code != amqp.ResourceLocked:
		return nil
	case strings.Contains(reply.Reason, "single active consumer"):
		return &meaning{"the queue is for one active consumer, which the broker does not let anybody bypass; subscribe instead", errors.ErrUnsupported}
	case strings.Contains(reply.Reason, "exclusive"):
		return &meaning{"the queue is exclusive to another connection", messaging.ErrMismatch}
	}
	return nil
}

// replyError is an answer of the broker, or the loss of the connection.
type replyError struct {
	text string
	amqp *amqp.Error
	errs []error // the sentinel, if any, and amqp
}

func (e *replyError) Error() string {
	if e.amqp.Server {
		return fmt.Sprintf("%s (%d %s)", e.text, e.amqp.Code, e.amqp.Reason)
	}
	return fmt.Sprintf("%s (%s)", e.text, e.amqp.Reason)
}

func (e *replyError) Unwrap() []error { return e.errs }

// explain makes a sentence of what amqp091-go returns, and adds the sentinel
// that belongs to it. Other errors stay as they are.
func explain(err error) error {
	var already *replyError
	var reply *amqp.Error
	if errors.As(err, &already) || !errors.As(err, &reply) {
		return err
	}
	known := replies[reply.Code]
	if l := lockOf(reply); l != nil {
		known = *l
	}
	e := &replyError{text: known.text, amqp: reply, errs: []error{reply}}
	switch {
	case errors.Is(reply, amqp.ErrClosed):
		e.text = "connection lost"
	case e.text == "":
		e.text = "the broker answered"
	}
	if known.sentinel != nil {
		e.errs = append(e.errs, known.sentinel)
	}
	return e
}

// code is the reply code that err carries from the broker itself, 0 for none.
func code(err error) int {
	var reply *amqp.Error
	if errors.As(err, &reply) && reply.Server {
		return reply.Code
	}
	return 0
}

// isChannelException says whether the broker closed a channel for what was
// done on it, and left the connection open (AMQP's "soft" errors).
func isChannelException(err error) bool {
	switch code(err) {
	case amqp.ContentTooLarge, amqp.NoConsumers, amqp.AccessRefused, amqp.NotFound, amqp.ResourceLocked, amqp.PreconditionFailed:
		return true
	}
	return false
}

// inequivalent is how RabbitMQ says which property differs, for example
// PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost
// '/': received none but current is the value '5' of type 'long'.
var inequivalent = regexp.MustCompile(`inequivalent arg '([^']+)' for queue '.*' in vhost '.*?': (.*)$`)

// properties names AMQP's queue properties as [messaging.QueueSpec] and the
// URL do.
var properties = map[string]string{
	"durable":                  "Transient",
	"exclusive":                "Exclusive",
	"auto_delete":              "AutoDelete",
	"x-max-length":             "MaxLength",
	"x-overflow":               "Overflow",
	"x-message-ttl":            "TTL",
	"x-single-active-consumer": "SingleActive",
	"x-queue-type":             "the URL's queue_type, or Transient, Exclusive or AutoDelete, which make a queue classic",
}

// mismatch makes ErrMismatch of a refused declaration, naming the property.
func mismatch(err error) error {
	var reply *amqp.Error
	if !errors.As(err, &reply) || reply.Code != amqp.PreconditionFailed {
		return explain(err)
	}
	parts := inequivalent.FindStringSubmatch(reply.Reason)
	if parts == nil {
		return explain(err)
	}
	what := parts[1]
	if field := properties[what]; field != "" {
		what = field + " (" + what + ")"
	}
	return fmt.Errorf("%w: %s: %s", messaging.ErrMismatch, what, strings.TrimSpace(parts[2]))
}
