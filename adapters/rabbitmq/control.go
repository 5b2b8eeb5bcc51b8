package rabbitmq

import (
	"maps"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/pkg/messaging"
)

// The headers in which this package notes what it must know when a message
// comes back. They are added and taken off outside the Marshaler, so that any
// Marshaler works, and no handler sees them. Their values are strings: a stock
// watermill-amqp consumer fails on any other type.
const (
	headerFailures = metadata.Failures
	headerExpires  = metadata.Expires
	headerTTL      = metadata.TTL
	headerKey      = metadata.Control + "key"     // Message.Key, where it is not the routing key
	headerUserID   = metadata.Control + "user-id" // property user_id, which the broker accepts from that user only
	headerDeath    = metadata.Control + "death"   // the broker's x-death and its kin from before a wait; the only one that is no string
)

// control is what the control headers of a message say.
type control struct {
	failures int
	key      string        // Message.Key
	expires  time.Time     // zero: never
	ttl      time.Duration // 0: none
}

// takeControl takes from raw's headers what is not the sender's. x-death is
// put back as it was before the message waited in this package's queues.
func takeControl(raw *amqp.Delivery) control {
	h := raw.Headers
	var c control
	if ms := msOf(raw.Expiration); ms > 0 {
		c.ttl = ms
	}
	c.key = keyOf(raw)
	if !hasNotes(h) { // as most messages
		return c
	}
	if failures, noted := h[headerFailures]; noted {
		if n, err := strconv.Atoi(headerText(failures)); err == nil && n > 0 {
			c.failures = min(n, 1<<30)
		}
	}
	if ms := msOf(headerText(h[headerExpires])); ms > 0 {
		c.expires = time.UnixMilli(ms.Milliseconds())
	}
	if ms := msOf(headerText(h[headerTTL])); ms > 0 {
		c.ttl = ms
	}
	if user, ok := h[headerUserID].(string); ok && raw.UserId == "" {
		raw.UserId = user
	}
	takeDeath(h)
	maps.DeleteFunc(h, func(key string, _ any) bool {
		return metadata.Noted(key)
	})
	return c
}

// hasNotes says whether anything in h was noted on the way.
func hasNotes(h amqp.Table) bool {
	for key := range h {
		if metadata.Noted(key) {
			return true
		}
	}
	return false
}

// keyOf returns the Message.Key of raw: what was noted of it, or the routing
// key where that is not just the name of the queue.
func keyOf(raw *amqp.Delivery) string {
	if key, noted := raw.Headers[headerKey].(string); noted {
		return key
	}
	if raw.Exchange == "" {
		return ""
	}
	if _, toQueue := raw.Headers[headerTo]; toQueue {
		return ""
	}
	return raw.RoutingKey
}

// noteKey notes the Message.Key of what travels under another routing key.
func noteKey(p *amqp.Publishing, key string) {
	if key != "" {
		p.Headers[headerKey] = key
	}
}

// takeDeath takes off what the broker noted while the message waited, and puts
// back what it had noted before.
func takeDeath(h amqp.Table) {
	if !hasWaited(h) {
		return
	}
	maps.DeleteFunc(h, func(key string, _ any) bool { return metadata.IsDeath(key) })
	saved, _ := h[headerDeath].(amqp.Table)
	maps.Copy(h, saved)
}

// saveDeath puts aside what the broker noted about earlier dead-lettering.
// RabbitMQ 3 takes a message for a loop that the same queue has dead-lettered
// before, and drops it.
func saveDeath(h amqp.Table) {
	saved := amqp.Table{}
	for key, value := range h {
		if metadata.IsDeath(key) {
			saved[key] = value
			delete(h, key)
		}
	}
	if len(saved) > 0 {
		h[headerDeath] = saved
	}
}

// msOf reads a count of milliseconds, 0 where it is none.
func msOf(text string) time.Duration {
	if text == "" { // of most messages; the error would cost more than all else here
		return 0
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 0 || ms > 1<<50 {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// expired says whether a message is older than its TTL. The broker says so
// itself until the message waits somewhere: then it takes the property off.
func (c *control) expired(raw *amqp.Delivery, now time.Time) bool {
	return raw.Expiration == "" && !c.expires.IsZero() && !now.Before(c.expires)
}

// setExpiry makes p worthless at a time; ttl is what the sender asked for.
func setExpiry(p *amqp.Publishing, ttl time.Duration, expires time.Time) {
	p.Expiration = strconv.FormatInt(ceilMS(ttl), 10)
	if p.Headers == nil {
		p.Headers = amqp.Table{}
	}
	p.Headers[headerTTL] = p.Expiration
	p.Headers[headerExpires] = strconv.FormatInt(expires.UnixMilli(), 10)
}

func ceilMS(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// publishingOf is raw to be sent again, with everything that it has. The
// headers are a copy.
func publishingOf(raw *amqp.Delivery) amqp.Publishing {
	p := amqp.Publishing{
		Headers:         maps.Clone(raw.Headers),
		ContentType:     raw.ContentType,
		ContentEncoding: raw.ContentEncoding,
		DeliveryMode:    raw.DeliveryMode,
		Priority:        raw.Priority,
		CorrelationId:   raw.CorrelationId,
		ReplyTo:         raw.ReplyTo,
		MessageId:       raw.MessageId,
		Timestamp:       raw.Timestamp,
		Type:            raw.Type,
		AppId:           raw.AppId,
		Body:            raw.Body,
	}
	if p.Headers == nil {
		p.Headers = amqp.Table{}
	}
	if raw.UserId != "" {
		p.Headers[headerUserID] = raw.UserId
	}
	return p
}

// retryCopy is raw for another attempt, failures of which have failed. It
// expires when raw would have.
func retryCopy(raw *amqp.Delivery, c *control, failures int, now time.Time) amqp.Publishing {
	p := publishingOf(raw)
	p.Headers[headerFailures] = strconv.Itoa(failures)
	expires := c.expires
	if expires.IsZero() && c.ttl > 0 { // from a foreign sender: counted from here, since nothing says from when
		expires = now.Add(c.ttl)
	}
	if !expires.IsZero() {
		setExpiry(&p, max(expires.Sub(now), 0), expires)
		p.Headers[headerTTL] = strconv.FormatInt(ceilMS(c.ttl), 10)
	}
	return p
}

// redrivenCopy is raw as it was before it was a dead letter.
func redrivenCopy(raw *amqp.Delivery) amqp.Publishing {
	p := publishingOf(raw)
	maps.DeleteFunc(p.Headers, func(key string, _ any) bool { return messaging.IsDeadLetterHeader(key) })
	return p
}

// deadCopy is j's message for the dead-letter queue. It no longer expires. Its
// own headers come first: where they leave no room, the text of the error is
// cut and of the other headers those are left out that do not fit, and last the
// broker's record of earlier dead-lettering and who sent it. It then is what its sender could
// send too. A frame has limit bytes.
func deadCopy(j *job, from messaging.Address, dec messaging.Decision, limit int) amqp.Publishing {
	p := publishingOf(&j.raw)
	if checkFrame(&p, limit) != nil {
		maps.DeleteFunc(p.Headers, func(key string, _ any) bool { return metadata.IsDeath(key) || key == headerUserID })
	}
	if j.control.key != "" {
		addHeader(&p, headerKey, j.control.key, limit)
	}
	added := messaging.DeadLetterHeaders(from, j.attempt(), dec)
	for _, key := range [...]string{messaging.HeaderDeadReason, messaging.HeaderDeadFrom,
		messaging.HeaderDeadAttempts, messaging.HeaderDeadTime} {
		addHeader(&p, key, added[key], limit)
	}
	text := added[messaging.HeaderDeadError]
	for !addHeader(&p, messaging.HeaderDeadError, text, limit) && text != "" {
		text = strings.ToValidUTF8(text[:len(text)/2], "")
	}
	return p
}

// addHeader sets a header, where there is room for it in a frame of limit bytes,
// and says whether there was.
func addHeader(p *amqp.Publishing, key, value string, limit int) bool {
	old, was := p.Headers[key]
	p.Headers[key] = value
	if checkFrame(p, limit) == nil {
		return true
	}
	if delete(p.Headers, key); was {
		p.Headers[key] = old
	}
	return false
}
