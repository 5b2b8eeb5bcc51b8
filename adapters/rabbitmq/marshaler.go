package rabbitmq

import (
	"strconv"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/metadata"
)

// The metadata of a Watermill message that stands for what a
// [messaging.Message] has besides ID, Headers and Body. [Marshaler] makes AMQP
// properties of them and back; with another Marshaler they travel as the
// headers that it makes of metadata.
const (
	MetadataType          = metadata.Type
	MetadataContentType   = metadata.ContentType
	MetadataCorrelationID = metadata.CorrelationID
	MetadataReplyTo       = metadata.ReplyTo
	MetadataTime          = metadata.Time // milliseconds since 1970, UTC
)

// Marshaler makes AMQP messages of Watermill messages, and back. It is a
// superset of watermill-amqp's DefaultMarshaler: both understand what the other
// makes. Added are the AMQP properties (message_id, type, content_type,
// correlation_id, reply_to, timestamp), which programs without Watermill read,
// and that no header fails: what is no string is rendered as one.
//
// An integer is rendered in decimal, a boolean as true or false, a timestamp in
// RFC 3339, bytes as they are where they are UTF-8 and in base64 otherwise, an
// array or a table in JSON, and a void as the empty string. The time of a
// message that has none is that of its ID, where that is a UUIDv7.
//
// The zero value is ready. It is for this adapter: the messages that Unmarshal
// makes have no channels for Ack and Nack, which Watermill's own subscriber
// waits on.
type Marshaler struct{}

var _ wamqp.Marshaler = Marshaler{}

// Marshal implements watermill-amqp's Marshaler. Messages are persistent. It
// never fails.
func (Marshaler) Marshal(m *message.Message) (amqp.Publishing, error) {
	return marshal(m), nil
}

func marshal(m *message.Message) amqp.Publishing {
	p := amqp.Publishing{
		MessageId:    short(m.UUID),
		DeliveryMode: amqp.Persistent,
		Headers:      make(amqp.Table, len(m.Metadata)+1),
		Body:         m.Payload,
	}
	p.Headers[wamqp.DefaultMessageUUIDHeaderKey] = m.UUID
	for key, value := range m.Metadata {
		if !metadata.Reserved(key) || !setProperty(&p, key, value) {
			p.Headers[key] = value
		}
	}
	return p
}

// setProperty makes a property of reserved metadata. It returns false where
// the metadata is to be a header: what does not fit, and the time as well,
// since AMQP's has seconds, unless the ID has the milliseconds.
func setProperty(p *amqp.Publishing, key, value string) bool {
	if len(value) > maxShort {
		return false
	}
	switch key {
	case MetadataType:
		p.Type = value
	case MetadataContentType:
		p.ContentType = value
	case MetadataCorrelationID:
		p.CorrelationId = value
	case MetadataReplyTo:
		p.ReplyTo = value
	case MetadataTime:
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false
		}
		p.Timestamp = time.UnixMilli(ms)
		made, known := metadata.TimeOfID(p.MessageId)
		return known && made == ms
	default:
		return false
	}
	return true
}

// Unmarshal implements watermill-amqp's Marshaler. It never fails.
func (Marshaler) Unmarshal(d amqp.Delivery) (*message.Message, error) {
	m := &message.Message{Metadata: make(message.Metadata, len(d.Headers)+5)}
	unmarshal(m, &d)
	return m, nil
}

// unmarshal fills in m, which has metadata, though none yet.
func unmarshal(m *message.Message, d *amqp.Delivery) {
	m.Payload = d.Body
	for key, value := range d.Headers {
		text := headerText(value)
		if key == wamqp.DefaultMessageUUIDHeaderKey {
			m.UUID = text
		} else {
			m.Metadata[key] = text
		}
	}
	if m.UUID == "" {
		m.UUID = d.MessageId
	}
	setText(m.Metadata, MetadataType, d.Type)
	setText(m.Metadata, MetadataContentType, d.ContentType)
	setText(m.Metadata, MetadataCorrelationID, d.CorrelationId)
	setText(m.Metadata, MetadataReplyTo, d.ReplyTo)
	setTime(m, d.Timestamp)
}

func setText(meta message.Metadata, key, value string) {
	if value != "" {
		meta[key] = value
	}
}

// setTime completes a timestamp, which has seconds, by the milliseconds that
// the header has, or else the ID. Where they are of another second, they are
// left over from another message, and the property counts.
func setTime(m *message.Message, timestamp time.Time) {
	var ms int64
	text, known := m.Metadata[MetadataTime]
	if known {
		var err error
		ms, err = strconv.ParseInt(text, 10, 64)
		known = err == nil
	}
	if !known {
		ms, known = metadata.TimeOfID(m.UUID)
	}
	if !timestamp.IsZero() && (!known || time.UnixMilli(ms).Unix() != timestamp.Unix()) {
		ms, known = timestamp.UnixMilli(), true
	}
	if known {
		m.Metadata[MetadataTime] = strconv.FormatInt(ms, 10)
	}
}

// maxShort is the longest text of an AMQP property, in bytes (AMQP 0-9-1,
// section 4.2.5.3).
const maxShort = 255

// short leaves out what does not fit into a property.
func short(s string) string {
	if len(s) > maxShort {
		return ""
	}
	return s
}
