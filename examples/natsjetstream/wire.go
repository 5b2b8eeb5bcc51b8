package natsjetstream

import (
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// The headers that carry what is no header of the application.
const (
	headerID            = "Warren-Id"
	headerType          = "Warren-Type"
	headerContentType   = "Warren-Content-Type"
	headerCorrelationID = "Warren-Correlation-Id"
	headerReplyTo       = "Warren-Reply-To"
	headerKey           = "Warren-Key"
	headerTime          = "Warren-Time"     // milliseconds since 1970
	headerTTL           = "Warren-Ttl"      // milliseconds
	headerExpires       = "Warren-Expires"  // when it is worthless, in milliseconds since 1970
	headerFailures      = "Warren-Failures" // attempts that failed
	headerUntil         = "Warren-Until"    // on hold: until when, in milliseconds since 1970
	headerTarget        = "Warren-Target"   // on hold: the subject that it goes to then
)

// maxHeaders is what a message's headers may have, in bytes as they are sent.
// JetStream stores 64 KiB; the rest is for what is noted later, such as why a
// message is dead.
const maxHeaders = 60 << 10

// encode makes a NATS message of m, for any subject.
func encode(m *messaging.Message) *nats.Msg {
	out := &nats.Msg{Header: nats.Header{}, Data: m.Body}
	for key, value := range m.Headers {
		out.Header.Set(escapeKey(key), url.QueryEscape(value))
	}
	for key, value := range map[string]string{
		headerID:            m.ID,
		headerType:          m.Type,
		headerContentType:   m.ContentType,
		headerCorrelationID: m.CorrelationID,
		headerReplyTo:       m.ReplyTo,
		headerKey:           m.Key,
	} {
		if value != "" {
			out.Header.Set(key, url.QueryEscape(value))
		}
	}
	setTime(out.Header, headerTime, m.Time)
	if m.TTL > 0 {
		out.Header.Set(headerTTL, strconv.FormatInt(int64((m.TTL+time.Millisecond-1)/time.Millisecond), 10))
		setTime(out.Header, headerExpires, time.Now().Add(m.TTL))
	}
	return out
}

// escapeKey and [url.QueryEscape] make a header of any bytes one that NATS
// carries: a line of text. What means something to NATS or to this package is
// given another first letter, an escaped one.
func escapeKey(key string) string {
	escaped := url.QueryEscape(key)
	for _, reserved := range []string{"nats-", "warren-"} {
		if strings.HasPrefix(strings.ToLower(escaped), reserved) && !messaging.IsDeadLetterHeader(key) {
			return fmt.Sprintf("%%%02X%s", escaped[0], escaped[1:])
		}
	}
	return escaped
}

// unescape is the opposite. It takes what is not escaped as it is: another
// program may have sent it.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func setTime(h nats.Header, key string, t time.Time) {
	h.Set(key, strconv.FormatInt(t.UnixMilli(), 10))
}

// getTime is the zero time where there is none that makes sense.
func getTime(h nats.Header, key string) time.Time {
	if ms, err := strconv.ParseInt(h.Get(key), 10, 64); err == nil && ms > 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// received is what a NATS message says.
type received struct {
	messaging.Message
	failures int
	expires  time.Time // zero: never
}

// decode never fails: what another program sent has no ID, perhaps, and headers
// of its own. One with several values has them with commas between.
func decode(h nats.Header, body []byte) received {
	r := received{Message: messaging.Message{
		ID:            unescape(h.Get(headerID)),
		Type:          unescape(h.Get(headerType)),
		ContentType:   unescape(h.Get(headerContentType)),
		CorrelationID: unescape(h.Get(headerCorrelationID)),
		ReplyTo:       unescape(h.Get(headerReplyTo)),
		Key:           unescape(h.Get(headerKey)),
		Time:          getTime(h, headerTime),
		Body:          body,
	}}
	r.expires = getTime(h, headerExpires)
	if n, err := strconv.Atoi(h.Get(headerFailures)); err == nil && n > 0 {
		r.failures = n
	}
	if ms, err := strconv.ParseInt(h.Get(headerTTL), 10, 64); err == nil && ms > 0 && ms <= messaging.MaxTTL.Milliseconds() {
		r.TTL = time.Duration(ms) * time.Millisecond
	}
	for key, values := range h {
		if isControl(key) {
			continue
		}
		if r.Headers == nil {
			r.Headers = map[string]string{}
		}
		r.Headers[unescape(key)] = unescape(strings.Join(values, ","))
	}
	return r
}

// isControl says whether a header is none of the application's.
func isControl(key string) bool {
	return strings.HasPrefix(key, "Nats-") || strings.HasPrefix(key, "Warren-")
}

// copyOf is a received message, to be sent again: without what NATS noted, and
// without the headers named.
func copyOf(h nats.Header, body []byte, without ...string) *nats.Msg {
	out := &nats.Msg{Header: maps.Clone(h), Data: body}
	maps.DeleteFunc(out.Header, func(key string, _ []string) bool { return strings.HasPrefix(key, "Nats-") })
	for _, key := range without {
		delete(out.Header, key)
	}
	if out.Header == nil {
		out.Header = nats.Header{}
	}
	return out
}

// retryCopy is for another attempt.
func retryCopy(h nats.Header, body []byte, failures int) *nats.Msg {
	out := copyOf(h, body)
	out.Header.Set(headerFailures, strconv.Itoa(failures))
	return out
}

// deadCopy is for the dead-letter queue, where it never expires.
func deadCopy(h nats.Header, body []byte, why map[string]string) *nats.Msg {
	out := copyOf(h, body, headerFailures, headerExpires)
	for key, value := range why {
		out.Header.Set(escapeKey(key), url.QueryEscape(value))
	}
	return out
}

// newCopy is as if nothing had happened to the message.
func newCopy(h nats.Header, body []byte) *nats.Msg {
	out := copyOf(h, body, headerFailures, headerExpires, headerTTL)
	maps.DeleteFunc(out.Header, func(key string, _ []string) bool { return messaging.IsDeadLetterHeader(unescape(key)) })
	return out
}
