package messaging

import "context"

// Codec turns values of one type into messages, and back. [JSONCodec] is one.
// Package protomessaging has one for Protocol Buffers, and cemessaging for
// CloudEvents; any other is two functions.
type Codec[T any] interface {
	// Encode returns a new message with v in its body, and its content type.
	Encode(v T) (*Message, error)
	// Decode returns the value that is in m, which it neither changes nor
	// keeps. Its error says what is wrong with the message: it is the reason
	// that a dead letter has.
	Decode(m *Message) (T, error)
}

// Handle returns a Handler that decodes each message by c for f. One that
// cannot be decoded never will be, so it is rejected: dead-lettered at once.
func Handle[T any](c Codec[T], f func(ctx context.Context, v T, d *Delivery) error) Handler {
	return func(ctx context.Context, d *Delivery) error {
		v, err := c.Decode(&d.Message)
		if err != nil {
			return Reject(err)
		}
		return f(ctx, v, d)
	}
}
