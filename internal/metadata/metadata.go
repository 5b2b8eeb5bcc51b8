// Package metadata has the names under which a message carries what no
// application has put into its headers. They are the metadata of Watermill
// messages, and on RabbitMQ AMQP headers. The adapters for RabbitMQ and for
// Watermill share them, so that a message means the same on either way.
package metadata

import (
	"strconv"
	"strings"
)

// The fields of a messaging.Message besides ID, Headers and Body.
const (
	Type          = reserved + "type"
	ContentType   = reserved + "content_type"
	CorrelationID = reserved + "correlation_id"
	ReplyTo       = reserved + "reply_to"
	Key           = reserved + "key"
	Time          = reserved + "time" // milliseconds since 1970, UTC
)

// reserved begins all of them.
const reserved = "_warren_"

// Reserved says whether a header of that name would be taken for a field.
func Reserved(key string) bool { return strings.HasPrefix(key, reserved) }

// What the adapters note for when a message comes back.
const (
	// Control begins all that is noted.
	Control = "x-warren-"

	Failures = Control + "failures" // attempts that failed
	Expires  = Control + "expires"  // when the message is worthless, in ms since 1970
	TTL      = Control + "ttl"      // Message.TTL in ms
)

// The way of a message through RabbitMQ's wait queues.
const (
	To      = "warren-to"       // a queue
	ToTopic = "warren-to-topic" // or a topic
	Delay   = "warren-delay-"   // with the number of a level
)

// What RabbitMQ notes.
const (
	Death         = "x-death"
	firstDeath    = "x-first-death-"
	lastDeath     = "x-last-death-"
	DeliveryCount = "x-delivery-count"
	AcquiredCount = "x-acquired-count"
)

// IsDeath says whether key is RabbitMQ's record of dead-lettering, or part of
// it.
func IsDeath(key string) bool {
	return key == Death || strings.HasPrefix(key, firstDeath) || strings.HasPrefix(key, lastDeath)
}

// Noted says whether key was noted on the way, by an adapter or by RabbitMQ,
// for an adapter to take off: no receiver sees it.
func Noted(key string) bool {
	switch key {
	case To, ToTopic, DeliveryCount, AcquiredCount:
		return true
	}
	return strings.HasPrefix(key, Control) || strings.HasPrefix(key, Delay)
}

// Meaningful says whether a header of that name means something on the way: an
// application's must not travel under it, see [Escape]. "CC" and "BCC" make
// RabbitMQ route copies, and close the channel where they are no array
// (https://www.rabbitmq.com/docs/sender-selected).
func Meaningful(key string) bool {
	return key == "CC" || key == "BCC" || Reserved(key) || Noted(key) || IsDeath(key)
}

const escaped = reserved + "header_"

// Escape is the name under which an application's header travels whose own
// means something.
func Escape(key string) string { return escaped + key }

// Unescape is the name that Escape was given, or key itself.
func Unescape(key string) string { return strings.TrimPrefix(key, escaped) }

// IsEscaped says whether a name is one of Escape's.
func IsEscaped(key string) bool { return strings.HasPrefix(key, escaped) }

// TimeOfID returns when an ID was made, in milliseconds since 1970, where it is
// a UUIDv7, which begins with that (RFC 9562, section 5.7). Those that Publish
// fills in are: their messages need no [Time], and have a time however often
// they were passed on. A header less is 5 % of what RabbitMQ does for a message.
func TimeOfID(id string) (ms int64, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '7' {
		return 0, false
	}
	high, err := strconv.ParseUint(id[:8], 16, 32)
	if err != nil {
		return 0, false
	}
	low, err := strconv.ParseUint(id[9:13], 16, 16)
	return int64(high<<16 | low), err == nil
}
