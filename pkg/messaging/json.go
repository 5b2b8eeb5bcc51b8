package messaging

import (
	"context"
	"encoding/json"
	"fmt"
)

// JSON returns a message with v encoded as JSON in its body, and the content
// type application/json.
func JSON(v any) (*Message, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T as JSON: %w", v, err)
	}
	return &Message{ContentType: "application/json", Body: body}, nil
}

// HandleJSON is [Handle] with a [JSONCodec]: it decodes each body into a T for
// f. A body that is not JSON for a T will never be one, so it is rejected:
// dead-lettered at once.
func HandleJSON[T any](f func(ctx context.Context, v T, d *Delivery) error) Handler {
	return Handle(JSONCodec[T]{}, f)
}

// JSONCodec is the [Codec] of values that encoding/json knows. The content type
// of what it decodes does not matter.
type JSONCodec[T any] struct{}

// Encode implements [Codec] as [JSON] does.
func (JSONCodec[T]) Encode(v T) (*Message, error) { return JSON(v) }

// Decode implements [Codec].
func (JSONCodec[T]) Decode(m *Message) (v T, err error) {
	if err := json.Unmarshal(m.Body, &v); err != nil {
		return v, fmt.Errorf("decode JSON as %T: %w", v, err)
	}
	return v, nil
}
