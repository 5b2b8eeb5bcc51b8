package watermill

import (
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/delay"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/pkg/messaging"
)

// meaningful says whether metadata of that name means something to Watermill,
// to RabbitMQ or to an adapter: an application's header must not travel under
// it.
func meaningful(key string) bool {
	return strings.HasPrefix(key, "_watermill_") || metadata.Meaningful(key)
}

// encode makes a Watermill message of m, sharing nothing with it.
func encode(m *messaging.Message) *message.Message {
	c := m.Clone()
	out := toWatermill(&c, meaningful)
	out.Metadata[MetadataTime] = msOf(m.Time)
	if m.TTL > 0 {
		out.Metadata[metadata.TTL] = strconv.FormatInt(ceilMS(m.TTL), 10)
		out.Metadata[metadata.Expires] = msOf(time.Now().Add(m.TTL))
	}
	return out
}

// setDelay notes a delay for a Pub/Sub that heeds it.
func setDelay(m *message.Message, d time.Duration) {
	if d > 0 {
		delay.Message(m, delay.For(d))
	}
}

// received is what a Watermill message says.
type received struct {
	messaging.Message
	failures int
	expires  time.Time // zero: never
}

// expired says whether the message is older than its TTL.
func (r received) expired() bool {
	return !r.expires.IsZero() && !time.Now().Before(r.expires)
}

// decode never fails: what is no number counts as absent. The message is a
// copy, since some Pub/Subs hand out one payload more than once.
func decode(m *message.Message) received {
	r := received{Message: fromWatermill(m, isControl)}
	r.Message = r.Clone()
	if n, err := strconv.Atoi(m.Metadata[metadata.Failures]); err == nil && n > 0 {
		r.failures = min(n, 1<<30)
	}
	if ms := positive(m.Metadata[metadata.TTL]); ms > 0 {
		r.TTL = time.Duration(ms) * time.Millisecond
	}
	if ms := positive(m.Metadata[metadata.Expires]); ms > 0 {
		r.expires = time.UnixMilli(ms)
	}
	return r
}

// isControl says whether metadata is no header of the application. What
// Watermill's own middleware notes is one: nobody else would show it.
func isControl(key string) bool {
	return metadata.Noted(key) || key == delay.DelayedForKey || key == delay.DelayedUntilKey
}

// positive reads a number of milliseconds, 0 where it is none that makes sense.
func positive(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<50 {
		return 0
	}
	return n
}

func ceilMS(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// retryCopy is m for another attempt, failures of which have failed.
func retryCopy(m *message.Message, failures int) *message.Message {
	c := m.Copy()
	c.Metadata[metadata.Failures] = strconv.Itoa(failures)
	delete(c.Metadata, delay.DelayedForKey)
	delete(c.Metadata, delay.DelayedUntilKey)
	return c
}

// deadCopy is m for the dead-letter queue, where it never expires.
func deadCopy(m *message.Message, from messaging.Address, attempt int, dec messaging.Decision) *message.Message {
	c := newCopy(m)
	if ttl, ok := m.Metadata[metadata.TTL]; ok { // still what the sender asked for
		c.Metadata[metadata.TTL] = ttl
	}
	for key, value := range messaging.DeadLetterHeaders(from, attempt, dec) {
		c.Metadata[key] = value
	}
	return c
}

// newCopy is m as if nothing had happened to it.
func newCopy(m *message.Message) *message.Message {
	c := m.Copy()
	for key := range m.Metadata {
		if isControl(key) || messaging.IsDeadLetterHeader(key) {
			delete(c.Metadata, key)
		}
	}
	return c
}
