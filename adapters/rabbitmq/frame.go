package rabbitmq

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// A message's properties and headers are sent in one frame (AMQP 0-9-1, section
// 4.2.6.1), and the broker closes a connection that brings it a larger frame
// than agreed. frameSize is what it proposes by default.
const frameSize = 131072

// frameFudge is how much larger than agreed a frame may be that RabbitMQ takes:
// FRAME_SIZE_FUDGE in its rabbit_reader. Others may have sent such a message, and
// its copies have to be sent too.
const frameFudge = 8

// growth is room that Publish leaves for what is added on the way, so that
// others can read the message too. The most is that a message waits at all
// levels: x-death then has maxLevel+1 entries, of up to 400 bytes each. The
// rest are the headers of a retry and of a dead letter.
const growth = (maxLevel+1)*400 + 6<<10

// withoutGrowth is how much of a frame Publish may fill. Where the broker takes
// small frames only, room for everything would leave none.
func withoutGrowth(frameLimit int) int {
	frameLimit = min(frameLimit, frameSize)
	return frameLimit - min(growth, frameLimit/2)
}

// maxHeaders is how many amqp091-go reads: it closes a connection that brings
// it a table of more.
const maxHeaders = 8192

// checkFrame says whether what is sent of p besides its body fits into a frame
// of so many bytes.
func checkFrame(p *amqp.Publishing, limit int) error {
	if size := contentHeaderSize(p); size > limit {
		return fmt.Errorf("%w: the headers and properties have %d bytes; the limit is %d", messaging.ErrTooLarge, size, limit)
	}
	if len(p.Headers) > maxHeaders {
		return fmt.Errorf("%w: there are %d headers; the limit is %d", messaging.ErrTooLarge, len(p.Headers), maxHeaders)
	}
	return nil
}

// contentHeaderSize is how many bytes the frame with p's properties and headers
// has (AMQP 0-9-1, sections 2.3.5.2 and 4.2.6.1).
func contentHeaderSize(p *amqp.Publishing) int {
	const (
		frame = 1 + 2 + 4 + 1 // type, channel, size, end
		class = 2 + 2 + 8 + 2 // class, weight, size of the body, flags
	)
	size := frame + class + tableSize(p.Headers)
	if p.DeliveryMode != 0 {
		size++
	}
	if p.Priority != 0 {
		size++
	}
	if !p.Timestamp.IsZero() {
		size += 8
	}
	for _, text := range [...]string{
		p.ContentType, p.ContentEncoding, p.CorrelationId, p.ReplyTo, p.Expiration,
		p.MessageId, p.Type, p.UserId, p.AppId,
	} {
		if text != "" {
			size += 1 + len(text)
		}
	}
	return size
}

// tableSize is how many bytes a table takes on the wire (AMQP 0-9-1, section
// 4.2.5.5).
func tableSize(t amqp.Table) int {
	size := 4
	for key, value := range t {
		size += 1 + len(key) + fieldSize(value)
	}
	return size
}

func fieldSize(v any) int {
	switch v := v.(type) {
	case nil:
		return 1
	case bool, byte, int8:
		return 2
	case int16, uint16:
		return 3
	case int, int32, uint32, float32:
		return 5
	case amqp.Decimal:
		return 6
	case string:
		return 5 + len(v)
	case []byte:
		return 5 + len(v)
	case amqp.Table:
		return 1 + tableSize(v)
	case []any:
		size := 5
		for _, value := range v {
			size += fieldSize(value)
		}
		return size
	default:
		return 9 // the largest of the others
	}
}
