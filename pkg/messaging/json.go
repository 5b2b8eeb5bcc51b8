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

// HandleJSON returns a Handler that decodes each body into a T for f. A body
// that is not JSON for a T will never be one, so it is rejected: dead-lettered
// at once.
func HandleJSON[T any](f func(ctx context.Context, v T, d *Delivery) error) Handler {
	return func(ctx context.Context, d *Delivery) error {
		var v T
		if err := json.Unmarshal(d.Body, &v); err != nil {
			return Reject(fmt.Errorf("decode JSON as %T: %w", v, err))
		}
		return f(ctx, v, d)
	}
}
