package messaging

import "fmt"

// The limits of a message's headers. AMQP 0-9-1 sends all headers in one frame
// (section 4.2.6.1), for which RabbitMQ takes 131,072 bytes by default. The
// rest is for what is added on the way: the properties, why it was
// dead-lettered, and the broker's record of each queue that it waited in.
const (
	MaxHeadersSize = 100 << 10 // bytes of all names and values, and 6 for each header
	MaxHeaders     = 8000      // how many
)

// headerOverhead is what AMQP needs for a header besides its name and value:
// their lengths and the type.
const headerOverhead = 6

// CheckSize is what every adapter asks about each message in Publish, before
// anything is sent: whether it is too large, which is ErrTooLarge. maxBody is
// the broker's limit of a body, in bytes.
func CheckSize(m *Message, maxBody int) error {
	if len(m.Body) > maxBody {
		return fmt.Errorf("%w: the body has %d bytes; the limit is %d", ErrTooLarge, len(m.Body), maxBody)
	}
	if len(m.Headers) > MaxHeaders {
		return fmt.Errorf("%w: there are %d headers; the limit is %d", ErrTooLarge, len(m.Headers), MaxHeaders)
	}
	if len(m.Headers) == 0 { // to begin to go through none takes as long as the rest
		return nil
	}
	size := headerOverhead * len(m.Headers)
	for key, value := range m.Headers {
		size += len(key) + len(value)
	}
	if size > MaxHeadersSize {
		return fmt.Errorf("%w: the headers have %d bytes; the limit is %d", ErrTooLarge, size, MaxHeadersSize)
	}
	return nil
}
