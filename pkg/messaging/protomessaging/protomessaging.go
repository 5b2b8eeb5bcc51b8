// Package protomessaging is a [messaging.Codec] for Protocol Buffers.
//
//	orders := protomessaging.For[*shop.Order]()
//	message, err := orders.Encode(order)
//	...
//	handle := messaging.Handle(orders, func(ctx context.Context, o *shop.Order, d *messaging.Delivery) error { ... })
package protomessaging

import (
	"errors"
	"fmt"
	"mime"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/warrenmq/warren/pkg/messaging"
)

// ContentType is that of every encoded message, as registered with IANA
// (https://www.iana.org/assignments/media-types/application/protobuf).
const ContentType = "application/protobuf"

// accepted are the content types that are decoded: besides the registered one,
// its deprecated names and those that say nothing.
var accepted = map[string]bool{
	ContentType:                       true,
	"application/x-protobuf":          true,
	"application/x-protobuffer":       true,
	"application/vnd.google.protobuf": true,
	"application/octet-stream":        true,
}

// For returns the codec of a generated type, such as *shop.Order.
//
// A message gets the content type of Protocol Buffers, and the full name of its
// type, shop.Order, as its Type, which the publisher may change.
//
// Bytes do not say which type they are of, and those of one often decode as
// another. So what is plainly something else is an error: another content type,
// or a Type that is the name of another type that this program knows.
func For[T proto.Message]() messaging.Codec[T] { return codec[T]{} }

type codec[T proto.Message] struct{}

// Encode implements [messaging.Codec].
func (codec[T]) Encode(v T) (*messaging.Message, error) {
	name := string(v.ProtoReflect().Descriptor().FullName())
	if !v.ProtoReflect().IsValid() {
		return nil, fmt.Errorf("encode Protocol Buffers: the %s is nil", name)
	}
	body, err := proto.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s as Protocol Buffers: %w", name, err)
	}
	return &messaging.Message{ContentType: ContentType, Type: name, Body: body}, nil
}

// Decode implements [messaging.Codec].
func (codec[T]) Decode(m *messaging.Message) (T, error) {
	var none T
	kind := none.ProtoReflect().Type()
	want := kind.Descriptor().FullName()
	if err := check(m, want); err != nil {
		return none, fmt.Errorf("decode Protocol Buffers as %s: %w", want, err)
	}
	v := kind.New().Interface()
	if err := proto.Unmarshal(m.Body, v); err != nil {
		return none, fmt.Errorf("decode Protocol Buffers as %s: %w", want, err)
	}
	return v.(T), nil
}

// check says what is plainly wrong with m.
func check(m *messaging.Message, want protoreflect.FullName) error {
	if m.ContentType != "" {
		media, _, err := mime.ParseMediaType(m.ContentType)
		if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || !accepted[strings.ToLower(media)] {
			return fmt.Errorf("the content type is %q, want %s", m.ContentType, ContentType)
		}
	}
	name := protoreflect.FullName(m.Type)
	if name == want || !name.IsValid() {
		return nil
	}
	if _, err := protoregistry.GlobalTypes.FindMessageByName(name); err == nil {
		return fmt.Errorf("the message is of type %s", name)
	}
	return nil
}
