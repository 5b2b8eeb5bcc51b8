package messaging

import (
	"errors"
	"fmt"
	"strings"
)

// The sentinels that every adapter uses. They are found with [errors.Is]; the
// error around them says what was being done and to which address.
var (
	// ErrClosed: the Broker was closed.
	ErrClosed = errors.New("the broker is closed")
	// ErrUnroutable: there is no queue of that name; Declare it first, or
	// subscribe to it. Nothing was stored. (AMQP: basic.return 312 NO_ROUTE.)
	ErrUnroutable = errors.New("unroutable: no such queue")
	// ErrRejected: the broker refused to store the message, most often because
	// its queue is full.
	ErrRejected = errors.New("refused by the broker")
	// ErrUnconfirmed: the message was sent, and whether it was stored is not
	// known. Publishing it again under the same ID is safe where receivers
	// tolerate duplicates.
	ErrUnconfirmed = errors.New("unconfirmed: may or may not be stored")
	// ErrBlocked: the broker is accepting no messages from anyone for now,
	// for lack of memory or disk (https://www.rabbitmq.com/docs/alarms).
	ErrBlocked = errors.New("the broker blocks publishers")
	// ErrTooLarge: the message is over the broker's size limit.
	ErrTooLarge = errors.New("message too large")
	// ErrEmpty: Get found no message.
	ErrEmpty = errors.New("no message")
	// ErrSettled: the delivery has been settled before.
	ErrSettled = errors.New("already settled")
	// ErrNotFound: there is no queue or topic of that name.
	ErrNotFound = errors.New("not found")
	// ErrURL: the URL cannot be used, and nothing was tried: its form is wrong,
	// no adapter that is imported knows its scheme, or the adapter takes no such
	// host or parameter.
	ErrURL = errors.New("unusable URL")
	// ErrMismatch: the queue exists with other properties than those asked
	// for. The error around it names the property.
	ErrMismatch = errors.New("exists with other properties")
)

// PublishError says which messages of a [Publisher.Publish] call failed, and
// why. Those that it does not name are stored. errors.Is and errors.As look
// into the errors of all failed messages.
type PublishError struct {
	To     Address
	Failed []MessageError // in the order of the call
}

// MessageError is one failed message of a Publish call.
type MessageError struct {
	Index int    // position in the arguments of the call, from 0
	ID    string // the message's ID
	Err   error
}

// listed is how many failed messages the text of a PublishError names.
const listed = 3

// Error names the address, how many messages failed and the first few of them.
func (e *PublishError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "publish to %s: ", e.To)
	if len(e.Failed) != 1 {
		fmt.Fprintf(&b, "%d messages failed: ", len(e.Failed))
	}
	for i, f := range e.Failed {
		if i == listed {
			fmt.Fprintf(&b, "; and %d more", len(e.Failed)-listed)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "message %d (%s): %v", f.Index, f.ID, f.Err)
	}
	return b.String()
}

// Unwrap returns the errors of the failed messages.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// invalid is the error for an argument that cannot be right: it begins with
// the name of the field and says what to do.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%s %s", field, fmt.Sprintf(format, args...))
}
