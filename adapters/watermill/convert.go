package watermill

import (
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/pkg/messaging"
)

// The metadata of a Watermill message that stands for what a
// [messaging.Message] has besides ID, Headers and Body. The RabbitMQ adapter
// uses the same names, so that a message means the same on either way.
const (
	MetadataType          = metadata.Type
	MetadataContentType   = metadata.ContentType
	MetadataCorrelationID = metadata.CorrelationID
	MetadataReplyTo       = metadata.ReplyTo
	MetadataKey           = metadata.Key
	MetadataTime          = metadata.Time // milliseconds since 1970, UTC
)

// toWatermill makes a Watermill message of m. Headers whose names mean
// something are escaped. The payload is m's own body.
func toWatermill(m *messaging.Message, meaningful func(key string) bool) *message.Message {
	out := message.NewMessage(m.ID, m.Body)
	for key, value := range m.Headers {
		if meaningful(key) {
			key = metadata.Escape(key)
		}
		out.Metadata[key] = value
	}
	for _, f := range [...]struct{ key, value string }{
		{MetadataType, m.Type},
		{MetadataContentType, m.ContentType},
		{MetadataCorrelationID, m.CorrelationID},
		{MetadataReplyTo, m.ReplyTo},
		{MetadataKey, m.Key},
	} {
		if f.value != "" {
			out.Metadata[f.key] = f.value
		}
	}
	return out
}

// fromWatermill makes a message of m, which it leaves as it is, without the
// metadata to skip. The body is m's own payload.
func fromWatermill(m *message.Message, skip func(key string) bool) messaging.Message {
	out := messaging.Message{ID: m.UUID, Body: m.Payload}
	for key, value := range m.Metadata {
		switch {
		case skip(key), metadata.SetField(&out, key, value):
		case key == MetadataKey:
			out.Key = value
		default:
			if out.Headers == nil {
				out.Headers = make(map[string]string, len(m.Metadata))
			}
			out.Headers[metadata.Unescape(key)] = value
		}
	}
	if ms, known := metadata.TimeOfID(m.UUID); known && out.Time.IsZero() {
		out.Time = time.UnixMilli(ms).UTC()
	}
	return out
}

// nothing is for fromWatermill, to skip no metadata.
func nothing(string) bool { return false }

func msOf(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
