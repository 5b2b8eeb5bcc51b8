package rabbitmq

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/pkg/messaging"
)

// encode makes an AMQP message of m, by way of a Watermill message and the
// Marshaler. The body is m's own where nobody changes it: Publish has copied it
// for the network when it returns.
func encode(marshaler wamqp.Marshaler, m *messaging.Message) (p amqp.Publishing, err error) {
	if _, ours := marshaler.(Marshaler); ours {
		p = encodeOurs(m)
	} else if p, err = marshalCopy(marshaler, m); err != nil {
		return p, fmt.Errorf("marshal: %w", err)
	}
	if p.Headers == nil {
		p.Headers = amqp.Table{}
	}
	if p.MessageId == "" { // what is returned is recognised by it
		p.MessageId = m.ID
	}
	if m.TTL > 0 {
		setExpiry(&p, m.TTL, time.Now().Add(m.TTL))
	}
	return p, nil
}

// metadatas are used again: with our own [Marshaler], a Watermill message and
// its metadata live for as long as it takes to make another message of it.
var metadatas = sync.Pool{New: func() any { return message.Metadata{} }}

// keepMetadata is for metadata that is no longer used and had so many entries. A
// map never becomes smaller, and a large one takes long to clear.
func keepMetadata(meta message.Metadata, had int) {
	if had <= 32 {
		clear(meta)
		metadatas.Put(meta)
	}
}

// encodeOurs is for our own [Marshaler].
func encodeOurs(m *messaging.Message) amqp.Publishing {
	w := message.Message{Metadata: metadatas.Get().(message.Metadata)}
	toWatermill(&w, m)
	p := marshal(&w)
	keepMetadata(w.Metadata, len(w.Metadata))
	return p
}

// marshalCopy is for a Marshaler that may do anything with the body, or panic.
func marshalCopy(marshaler wamqp.Marshaler, m *messaging.Message) (p amqp.Publishing, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the Marshaler panicked: %v", r)
		}
	}()
	w := &message.Message{Metadata: make(message.Metadata, len(m.Headers)+2)}
	toWatermill(w, m)
	w.Payload = bytes.Clone(m.Body)
	return marshaler.Marshal(w)
}

// toWatermill fills in w, whose metadata is empty.
func toWatermill(w *message.Message, m *messaging.Message) {
	w.UUID, w.Payload = m.ID, m.Body
	meta := w.Metadata
	for key, value := range m.Headers {
		meta[escapeKey(key)] = value
	}
	setText(meta, MetadataType, m.Type)
	setText(meta, MetadataContentType, m.ContentType)
	setText(meta, MetadataCorrelationID, m.CorrelationID)
	setText(meta, MetadataReplyTo, m.ReplyTo)
	meta[MetadataTime] = strconv.FormatInt(m.Time.UnixMilli(), 10)
}

// fromWatermill makes a message of what a Marshaler returned, which is used up.
func fromWatermill(m *message.Message) messaging.Message {
	out := messaging.Message{ID: m.UUID, Body: m.Payload}
	maps.DeleteFunc(m.Metadata, func(key, value string) bool {
		return metadata.Reserved(key) && metadata.SetField(&out, key, value)
	})
	unescapeKeys(m.Metadata)
	if len(m.Metadata) > 0 {
		out.Headers = m.Metadata
	}
	return out
}

// escapeKey is the name under which an application's header travels.
func escapeKey(key string) string {
	if key == wamqp.DefaultMessageUUIDHeaderKey || metadata.Meaningful(key) {
		return metadata.Escape(key)
	}
	return key
}

func unescapeKeys(meta message.Metadata) {
	var keys []string
	for key := range meta {
		if metadata.IsEscaped(key) {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		meta[metadata.Unescape(key)] = meta[key]
		delete(meta, key)
	}
}

// decode makes a message of raw, from which control headers have been taken.
// The body is a copy, because its receiver may change it, and raw must stay as
// it was in case it has to be sent elsewhere.
func decode(marshaler wamqp.Marshaler, raw amqp.Delivery, c *control) (m messaging.Message, err error) {
	raw.Body = bytes.Clone(raw.Body)
	if _, ours := marshaler.(Marshaler); ours {
		m = decodeOurs(&raw)
	} else if m, err = decodeAny(marshaler, raw); err != nil {
		return m, fmt.Errorf("unmarshal: %w", err)
	}
	if m.ID == "" {
		m.ID = raw.MessageId
	}
	m.TTL, m.Key = c.ttl, c.key
	return m, nil
}

// decodeAny is for a Marshaler that may panic.
func decodeAny(marshaler wamqp.Marshaler, raw amqp.Delivery) (m messaging.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the Marshaler panicked: %v", p)
		}
	}()
	w, err := marshaler.Unmarshal(raw)
	if err != nil {
		return m, err
	}
	return fromWatermill(w), nil
}

// decodeOurs is for our own [Marshaler]. Metadata that has become the message's
// headers is its own from then on.
func decodeOurs(raw *amqp.Delivery) messaging.Message {
	w := message.Message{Metadata: metadatas.Get().(message.Metadata)}
	unmarshal(&w, raw)
	had := len(w.Metadata)
	m := fromWatermill(&w)
	if len(w.Metadata) == 0 {
		keepMetadata(w.Metadata, had)
	}
	return m
}

// checkPublishing says whether the broker takes p, which a Marshaler has made.
// What cannot be written in AMQP would cost the connection and everything that
// is on its way.
func checkPublishing(p *amqp.Publishing, bodyLimit, frameLimit int) error {
	if len(p.Body) > bodyLimit {
		return fmt.Errorf("%w: with what the Marshaler has added, the body has %d bytes; the limit is %d", messaging.ErrTooLarge, len(p.Body), bodyLimit)
	}
	if err := checkFrame(p, withoutGrowth(frameLimit)); err != nil {
		return err
	}
	return checkProperties(p)
}

// checkProperties says whether AMQP can carry what a Marshaler made.
func checkProperties(p *amqp.Publishing) error {
	for _, f := range [...]struct{ name, value string }{
		{"content_type", p.ContentType}, {"content_encoding", p.ContentEncoding}, {"correlation_id", p.CorrelationId},
		{"reply_to", p.ReplyTo}, {"expiration", p.Expiration}, {"message_id", p.MessageId}, {"type", p.Type},
		{"user_id", p.UserId}, {"app_id", p.AppId},
	} {
		if len(f.value) > maxShort {
			return fmt.Errorf("marshal: property %s has %d bytes; the limit is %d", f.name, len(f.value), maxShort)
		}
	}
	for key := range p.Headers {
		if len(key) > maxShort {
			return fmt.Errorf("marshal: a header's name has %d bytes; the limit is %d", len(key), maxShort)
		}
	}
	if err := p.Headers.Validate(); err != nil {
		return fmt.Errorf("marshal: %w", err)
	}
	return nil
}
