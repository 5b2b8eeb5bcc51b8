package messaging

import (
	"context"
	"fmt"
	"time"
)

// DefaultPublishTimeout is how long Publish waits for a broker that is away or
// blocked, where the context has no deadline.
const DefaultPublishTimeout = 30 * time.Second

// Publisher sends messages.
type Publisher interface {
	// Publish sends msgs to one address and waits until the broker has them.
	//
	// nil means that every message reached its queue and that the broker has
	// confirmed that it stored it. Otherwise the error is a [*PublishError]
	// that names exactly the messages that failed; the others are stored. Bad
	// input is an error of its own, before anything is sent.
	//
	// The messages of one call, and of successive calls of one goroutine to
	// one address, are enqueued in order; only what had to be sent again may
	// come later. Publish declares nothing: a queue that does not exist is
	// ErrUnroutable, a topic that nobody is bound to is no error.
	//
	// While the connection is down or the broker blocks publishers, Publish
	// waits and sends again, under the same ID, until ctx ends, or for
	// [DefaultPublishTimeout] where ctx has no deadline. When ctx ends, it
	// returns within 50 ms; what was sent but not confirmed is ErrUnconfirmed.
	//
	// Publish fills in each empty ID and zero Time, so do not publish one
	// *Message from two goroutines at once. After it returns, the caller may
	// change the messages.
	Publish(ctx context.Context, to Address, msgs ...*Message) error
}

// Subscriber receives messages.
type Subscriber interface {
	// Subscribe handles messages until ctx ends, then drains and returns: no
	// handler starts any more, what was received but not started is back in
	// its queue at once, running handlers go on with a live context, and what
	// they settle is settled before Subscribe returns nil.
	//
	// After Source.ShutdownTimeout the handlers' context is cancelled, what
	// they leave goes back to the queue, and Subscribe returns an error that
	// says how many. After [Broker] Close it returns ErrClosed.
	//
	// A queue that does not exist is declared with the zero [QueueSpec]; one
	// that does is used as it is. When the queue is deleted, the broker
	// cancels the consumer or the connection is lost, the subscription resumes
	// by itself; a queue that is missing then comes back as this Broker has
	// declared it.
	Subscribe(ctx context.Context, from Source, h Handler) error
}

// Manager looks after queues.
type Manager interface {
	// Declare creates a queue, or verifies that it exists with these
	// properties: otherwise ErrMismatch, naming the property.
	Declare(ctx context.Context, q QueueSpec) error
	// Bind creates a topic's group before anyone subscribes to it, so that it
	// keeps messages from then on.
	Bind(ctx context.Context, from Source) error
	// Inspect counts what is in a queue. ErrNotFound where there is none.
	Inspect(ctx context.Context, q Address) (QueueInfo, error)
	// Purge drops the messages that are ready in a queue and returns how many
	// there were. Those held by consumers or waiting for their time stay.
	// ErrNotFound where there is no such queue.
	Purge(ctx context.Context, q Address) (int, error)
	// Delete removes a queue or a topic with everything in it. What does not
	// exist is no error.
	Delete(ctx context.Context, a Address) error
}

// Broker is what an adapter provides as a whole. All methods may be called
// from any number of goroutines.
type Broker interface {
	Publisher
	Subscriber
	Manager
	// Health reports how the broker is doing. It costs next to nothing and
	// opens nothing, so that a probe may call it as often as it likes.
	Health() Health
	// Close stops intake, lets what runs finish until ctx ends, and then cuts.
	// Subscriptions drain first, and their handlers may publish meanwhile;
	// then every method returns ErrClosed. It returns at most 100 ms after ctx
	// ended, whatever state the broker is in, and leaves no goroutine of the
	// adapter: a handler that ignores the end of its own context is left
	// behind, and its message released.
	//
	// It returns an error when something had to be cut: when ctx ended first,
	// and when a handler did not finish within its Source.ShutdownTimeout. It
	// is idempotent: each further call waits for the first, within its own
	// ctx, and returns the same.
	Close(ctx context.Context) error
}

// Overflow is what a queue does with a message that is over its MaxLength.
type Overflow uint8

const (
	// RejectPublish refuses the new message: Publish gets ErrRejected.
	RejectPublish Overflow = iota
	// DropOldest drops the message at the head of the queue.
	DropOldest
)

// String returns AMQP's name for it: "reject-publish" or "drop-head".
func (o Overflow) String() string {
	return nameOf([]string{"reject-publish", "drop-head"}, int(o), "Overflow")
}

// QueueSpec describes a queue. The zero value, apart from Name, is the safe
// choice: durable and unlimited. The cases named Declare of package
// messagingtest hold adapters to each sentence here.
type QueueSpec struct {
	// Name has 1 to [MaxShort] bytes of UTF-8, no control characters, and does
	// not begin with "amq.", which AMQP 0-9-1 reserves.
	Name string
	// Transient queues do not survive a restart of the broker. Defaults to
	// false: durable.
	Transient bool
	// Exclusive queues can be used through this Broker only, and go with it.
	// Defaults to false.
	Exclusive bool
	// AutoDelete queues are deleted when their last consumer leaves. Defaults
	// to false.
	AutoDelete bool
	// MaxLength is how many messages may be ready in it. Defaults to 0:
	// unlimited. With RejectPublish, RabbitMQ's quorum queues tell publishers
	// late that they are full: they take as many more as are in flight by
	// then. In a queue of 5, one Publish of many messages left 161.
	MaxLength int
	// Overflow says what happens over MaxLength, which DropOldest needs.
	// Defaults to RejectPublish.
	Overflow Overflow
	// TTL is how long a message may wait in it, in milliseconds resolution; at
	// most [MaxTTL]. Defaults to 0: for ever.
	TTL time.Duration
	// SingleActive lets one consumer work at a time; the others stand by.
	// RabbitMQ's quorum queues then refuse [Get]. Defaults to false.
	SingleActive bool
}

// Validate says what is wrong with q. The error names the field.
func (q QueueSpec) Validate() error {
	if err := checkName("QueueSpec.Name", q.Name); err != nil {
		return err
	}
	if isReserved(Queue(q.Name)) {
		return invalid("QueueSpec.Name", "is %q; names that begin with amq. are reserved for the broker", q.Name)
	}
	if q.MaxLength < 0 {
		return invalid("QueueSpec.MaxLength", "is negative; 0 is unlimited")
	}
	if q.Overflow > DropOldest {
		return invalid("QueueSpec.Overflow", "is %d; use RejectPublish or DropOldest", q.Overflow)
	}
	if q.Overflow == DropOldest && q.MaxLength == 0 {
		return invalid("QueueSpec.Overflow", "is DropOldest, but QueueSpec.MaxLength is 0, which is unlimited: nothing would ever be dropped")
	}
	return checkSpan("QueueSpec.TTL", q.TTL, MaxTTL)
}

// Unknown is the value of a count that a broker does not tell.
const Unknown = -1

// QueueInfo is what [Manager.Inspect] counts.
type QueueInfo struct {
	Address   Address
	Ready     int // messages that wait for a consumer
	Unsettled int // messages that consumers hold; Unknown where the broker does not tell
	Consumers int // subscriptions that are active on the queue
}

// State is the state of a Broker's connection.
type State uint8

// The states of a Broker.
const (
	Connecting State = iota // never connected so far, or connecting again
	Connected
	Closed
)

// nameOf returns names[i], and what Go would print for a number that has none.
func nameOf(names []string, i int, typeName string) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", typeName, i)
}

// String returns the state in lower case.
func (s State) String() string {
	return nameOf([]string{"connecting", "connected", "closed"}, int(s), "State")
}

// Health is how a Broker is doing.
type Health struct {
	State         State
	Since         time.Time // when State was entered
	Blocked       bool      // the broker accepts no messages for now
	BlockedReason string    // what the broker says about it
	Subscriptions int       // subscriptions that are active at the broker now
	LastError     error     // the last trouble with the connection or a subscription; never shows a password
}

// String is one line for a log or a probe.
func (h Health) String() string {
	s := fmt.Sprintf("%s since %s, %d subscriptions", h.State, h.Since.UTC().Format(time.RFC3339), h.Subscriptions)
	if h.Blocked {
		s += ", blocked: " + h.BlockedReason
	}
	if h.LastError != nil {
		s += ", last error: " + h.LastError.Error()
	}
	return s
}
