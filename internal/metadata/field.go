package metadata

import (
	"strconv"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// SetField sets the field of m that key stands for, and says whether there is
// one. [Key] is none: how it travels differs by adapter. A [Time] that is no
// number is no time.
func SetField(m *messaging.Message, key, value string) bool {
	switch key {
	case Type:
		m.Type = value
	case ContentType:
		m.ContentType = value
	case CorrelationID:
		m.CorrelationID = value
	case ReplyTo:
		m.ReplyTo = value
	case Time:
		if ms, err := strconv.ParseInt(value, 10, 64); err == nil {
			m.Time = time.UnixMilli(ms).UTC()
		}
	default:
		return false
	}
	return true
}
