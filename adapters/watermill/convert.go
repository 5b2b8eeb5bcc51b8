package watermill

import (
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/pkg/messaging"
)

// The metadata of a Watermill message that stands for what a
// [messaging.Message] has besides ID, Headers and Body. The RabbitMQ adapter
// uses the same names, so that a message means the same on either way.
const (
	MetadataType          = "_warren_type"
	MetadataContentType   = "_warren_content_type"
	MetadataCorrelationID = "_warren_correlation_id"
	MetadataReplyTo       = "_warren_reply_to"
	MetadataKey           = "_warren_key"
	MetadataTime          = "_warren_time" // milliseconds since 1970, UTC
)

// metadataPrefix begins all of them.
const metadataPrefix = "_warren_"

// escaped begins the metadata of an application's header whose name would
// otherwise mean something on the way.
const escaped = "_warren_header_"

// reserved says whether a header of that name would be taken for a field.
func reserved(key string) bool { return strings.HasPrefix(key, metadataPrefix) }

// toWatermill makes a Watermill message of m. Headers whose names mean
// something are escaped. The payload is m's own body.
func toWatermill(m *messaging.Message, meaningful func(key string) bool) *message.Message {
	out := message.NewMessage(m.ID, m.Body)
	for key, value := range m.Headers {
		if meaningful(key) {
			key = escaped + key
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
		if skip(key) {
			continue
		}
		switch key {
		case MetadataType:
			out.Type = value
		case MetadataContentType:
			out.ContentType = value
		case MetadataCorrelationID:
			out.CorrelationID = value
		case MetadataReplyTo:
			out.ReplyTo = value
		case MetadataKey:
			out.Key = value
		case MetadataTime:
			out.Time = timeOf(value)
		default:
			if out.Headers == nil {
				out.Headers = make(map[string]string, len(m.Metadata))
			}
			out.Headers[strings.TrimPrefix(key, escaped)] = value
		}
	}
	return out
}

// nothing is for fromWatermill, to skip no metadata.
func nothing(string) bool { return false }

// timeOf reads milliseconds since 1970; what is no number is no time.
func timeOf(ms string) time.Time {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

func msOf(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
