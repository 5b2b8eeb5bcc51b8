package messaging

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Limits on what a [Message] may carry. They come from AMQP 0-9-1 (a short
// string has at most 255 bytes, section 4.2.5.3; an expiration is a 32-bit
// count of milliseconds) and hold on every adapter, so that a message that
// passes a unit test on memory also passes in production.
const (
	// MaxShort is the longest ID, Type, ContentType, CorrelationID, ReplyTo,
	// Key, header key and queue name, in bytes.
	MaxShort = 255
	// MaxDelay is the longest Delay of a message.
	MaxDelay = 30 * 24 * time.Hour
	// MaxTTL is the longest TTL of a message or a queue.
	MaxTTL = (1<<32 - 1) * time.Millisecond
)

// Message is a plain value: no channels, no locks, no hidden state. The zero
// value is a valid empty message.
type Message struct {
	// ID is unique for the message. [Publisher.Publish] fills in a UUIDv7 when
	// it is empty, and sends again under the same ID, so that a receiver can
	// recognise a duplicate.
	ID string
	// Type is the application's name for the content, e.g. "order.placed".
	Type string
	// ContentType is the MIME type of Body.
	ContentType string
	// CorrelationID ties a reply to its request.
	CorrelationID string
	// ReplyTo is the name of the queue that a reply goes to, if any.
	ReplyTo string
	// Key is the routing key, used when publishing to a topic.
	Key string
	// Time is when the message was published, with millisecond resolution.
	// Publish fills it in when it is zero.
	Time time.Time
	// TTL is how long the message is worth delivering, counted from its
	// publishing; it is dropped when older (or dead-lettered, where the queue
	// says so). 0 means never. At most [MaxTTL]; fractions of a millisecond
	// are rounded up.
	TTL time.Duration
	// Delay is how long the message is held back. 0 means not at all. At most
	// [MaxDelay].
	Delay time.Duration
	// Headers are the application's own. Keys are not empty.
	Headers map[string]string
	// Body is the content. It may be empty; nil and empty are the same.
	Body []byte
}

// Clone returns a copy of m that shares nothing with it.
func (m *Message) Clone() Message {
	c := *m
	c.Headers = maps.Clone(m.Headers)
	c.Body = slices.Clone(m.Body)
	return c
}

// Delivery is a received message. It belongs to the handler that received it:
// nobody else sees what the handler changes in it.
type Delivery struct {
	Message
	// From is the queue or topic that it was received from.
	From Address
	// Attempt is 1 on the first delivery and counts the failures that handlers
	// reported. A redelivery after a crash does not raise it on queues that do
	// not count deliveries: it is then a lower bound, and Redelivered is set.
	Attempt int
	// Redelivered says that the message may have been handed to a handler
	// before.
	Redelivered bool
}

// Prepare checks msgs for publishing to address to, and fills in each ID and
// Time that is empty. Adapters call it first thing in Publish: when it fails,
// nothing has been sent or changed. The error names the message and the field.
func Prepare(to Address, msgs []*Message) error {
	if err := to.Validate(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for i, m := range msgs {
		if err := m.validate(); err != nil {
			return fmt.Errorf("publish to %s: message %d: %w", to, i, err)
		}
	}
	var now time.Time // read once: the clock costs as much as the rest
	for _, m := range msgs {
		if m.ID != "" && !m.Time.IsZero() {
			continue
		}
		if now.IsZero() {
			now = time.Now()
		}
		if m.ID == "" {
			m.ID = newID(now)
		}
		if m.Time.IsZero() {
			m.Time = time.UnixMilli(now.UnixMilli()).UTC()
		}
	}
	return nil
}

func (m *Message) validate() error {
	if m == nil {
		return invalid("Message", "is nil; pass a *Message")
	}
	if max(len(m.ID), len(m.Type), len(m.ContentType), len(m.CorrelationID), len(m.Key)) > MaxShort {
		return m.tooLong()
	}
	if m.ReplyTo != "" {
		if err := checkName("Message.ReplyTo", m.ReplyTo); err != nil {
			return err
		}
	}
	if err := checkSpan("Message.TTL", m.TTL, MaxTTL); err != nil {
		return err
	}
	if err := checkSpan("Message.Delay", m.Delay, MaxDelay); err != nil {
		return err
	}
	if len(m.Headers) == 0 { // to begin to go through none takes as long as the rest
		return nil
	}
	for k := range m.Headers {
		if k == "" {
			return invalid("Message.Headers", "has an empty key")
		}
		if len(k) > MaxShort {
			return invalid("Message.Headers", "has a key of %d bytes; the limit is %d", len(k), MaxShort)
		}
	}
	return nil
}

// tooLong says which of the short strings is.
func (m *Message) tooLong() error {
	for _, f := range [...]struct{ name, value string }{
		{"ID", m.ID}, {"Type", m.Type}, {"ContentType", m.ContentType},
		{"CorrelationID", m.CorrelationID}, {"Key", m.Key},
	} {
		if len(f.value) > MaxShort {
			return invalid("Message."+f.name, "has %d bytes; the limit is %d", len(f.value), MaxShort)
		}
	}
	return nil
}

// checkSpan says whether d is between zero and limit, both allowed.
func checkSpan(field string, d, limit time.Duration) error {
	if d < 0 {
		return invalid(field, "is %s; it must not be negative", d)
	}
	if d > limit {
		return invalid(field, "is %s; the limit is %s", d, limit)
	}
	return nil
}
