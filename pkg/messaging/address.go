package messaging

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	kindNone kind = iota
	kindQueue
	kindTopic
)

// Address is where messages go: a queue or a topic, and its name. It is
// comparable, prints as "queue:hello" or "topic:logs", and [ParseAddress]
// reads that form. The zero Address is no address.
type Address struct {
	kind kind
	name string
}

// Queue returns the address of a queue: its consumers compete, each message is
// handled by one of them.
func Queue(name string) Address { return Address{kindQueue, name} }

// Topic returns the address of a topic: each group of subscribers gets its own
// copy of each message.
func Topic(name string) Address { return Address{kindTopic, name} }

// ParseAddress reads what [Address.String] writes. The error says what the
// form is.
func ParseAddress(s string) (Address, error) {
	prefix, name, _ := strings.Cut(s, ":")
	var a Address
	switch prefix {
	case "queue":
		a = Queue(name)
	case "topic":
		a = Topic(name)
	default:
		return Address{}, invalid("Address", "is %q; write queue:NAME or topic:NAME", s)
	}
	if err := a.Validate(); err != nil {
		return Address{}, err
	}
	return a, nil
}

// Name returns the name without the kind.
func (a Address) Name() string { return a.name }

// IsZero says whether a is no address at all.
func (a Address) IsZero() bool { return a == Address{} }

// IsQueue says whether a is the address of a queue.
func (a Address) IsQueue() bool { return a.kind == kindQueue }

// IsTopic says whether a is the address of a topic.
func (a Address) IsTopic() bool { return a.kind == kindTopic }

// String returns "queue:NAME" or "topic:NAME", and "" for the zero Address.
func (a Address) String() string {
	switch a.kind {
	case kindQueue:
		return "queue:" + a.name
	case kindTopic:
		return "topic:" + a.name
	default:
		return ""
	}
}

// MarshalText implements [encoding.TextMarshaler].
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]; empty text is the zero
// Address.
func (a *Address) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Address{}
		return nil
	}
	parsed, err := ParseAddress(string(text))
	if err == nil {
		*a = parsed
	}
	return err
}

// Validate says what is wrong with a: it must be a queue or a topic, with a
// name of 1 to [MaxShort] bytes of UTF-8 without control characters.
func (a Address) Validate() error {
	if a.kind == kindNone {
		return invalid("Address", "is empty; use Queue(name) or Topic(name)")
	}
	return checkName("Address.Name", a.name)
}

// checkName says what is wrong with the name of a queue, topic or group.
func checkName(field, name string) error {
	switch {
	case isPlain(name):
		return nil
	case name == "":
		return invalid(field, "is empty; it needs 1 to %d bytes", MaxShort)
	case len(name) > MaxShort:
		return invalid(field, "has %d bytes; the limit is %d", len(name), MaxShort)
	case !utf8.ValidString(name):
		return invalid(field, "is not UTF-8: %q", name)
	}
	if i := strings.IndexFunc(name, unicode.IsControl); i >= 0 {
		return invalid(field, "has a control character at byte %d: %q", i, name)
	}
	return nil
}

// isReserved says whether a has a name that AMQP 0-9-1 reserves for the broker,
// and is not one of the exchanges that every RabbitMQ has.
func isReserved(a Address) bool {
	if !strings.HasPrefix(a.name, "amq.") {
		return false
	}
	switch a.name {
	case "amq.topic", "amq.fanout", "amq.direct", "amq.headers", "amq.match", "amq.rabbitmq.log", "amq.rabbitmq.trace", "amq.rabbitmq.event":
		return !a.IsTopic()
	}
	return true
}

// checkReserved refuses to receive from, or to declare, what is the broker's
// own. It is no error to publish there: replies go to the queues that the
// broker has named (amq.gen-...).
func checkReserved(field string, a Address) error {
	if isReserved(a) {
		return invalid(field, "is %s; names that begin with amq. are reserved for the broker", a)
	}
	return nil
}

// isPlain says whether name is right because it is short and printable ASCII,
// as nearly all names are. It is asked for each message.
func isPlain(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return name != "" && len(name) <= MaxShort
}
