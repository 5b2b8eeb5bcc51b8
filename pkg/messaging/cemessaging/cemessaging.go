// Package cemessaging is a [messaging.Codec] for CloudEvents 1.0
// (https://cloudevents.io), with the event type of the official SDK.
//
//	message, err := cemessaging.Binary.Encode(event)
//	...
//	handle := messaging.Handle(cemessaging.Binary, func(ctx context.Context, e event.Event, d *messaging.Delivery) error { ... })
//
// [Binary] and [Structured] differ in what they encode: in binary mode the
// attributes are headers and the body is the data as it is, in structured mode
// the body is one JSON document with both. Each decodes either mode, by the
// content type.
//
// There is no binding for AMQP 0-9-1, so this is the one for AMQP 1.0
// (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/amqp-protocol-binding.md),
// whose application properties RabbitMQ turns into headers: attributes are the
// headers cloudEvents_id and so on, in their canonical string form, and on
// receipt cloudEvents:id as well.
package cemessaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/warrenmq/warren/pkg/messaging"
)

// ContentType is that of an event in structured mode.
const ContentType = event.ApplicationCloudEventsJSON

// specVersion is the only version of CloudEvents that is written and read.
const specVersion = event.CloudEventsVersionV1

// Binary is the codec that encodes in binary mode, and Structured in structured
// mode.
//
// Both check that an event is valid: one without an id, source, type or
// specversion, or with an attribute that cannot be right, is an error that names
// the attributes. A handler of [messaging.Handle] then rejects it.
//
// An encoded message has the event's id as its ID and the event's type as its
// Type, where they are not over [messaging.MaxShort].
var (
	Binary     messaging.Codec[event.Event] = codec{encodeBinary}
	Structured messaging.Codec[event.Event] = codec{encodeStructured}
)

type codec struct {
	encode func(event.Event) (*messaging.Message, error)
}

// Encode implements [messaging.Codec].
func (c codec) Encode(e event.Event) (*messaging.Message, error) {
	if err := validate(&e); err != nil {
		return nil, fmt.Errorf("encode a CloudEvent: %w", err)
	}
	m, err := c.encode(e)
	if err != nil {
		return nil, fmt.Errorf("encode a CloudEvent: %w", err)
	}
	if len(e.ID()) <= messaging.MaxShort {
		m.ID = e.ID()
	}
	if len(e.Type()) <= messaging.MaxShort {
		m.Type = e.Type()
	}
	return m, nil
}

func encodeStructured(e event.Event) (*messaging.Message, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return &messaging.Message{ContentType: ContentType, Body: body}, nil
}

// Decode implements [messaging.Codec].
func (codec) Decode(m *messaging.Message) (event.Event, error) {
	e, err := decode(m)
	if err == nil {
		err = validate(&e)
	}
	if err != nil {
		return event.Event{}, fmt.Errorf("decode a CloudEvent: %w", err)
	}
	return e, nil
}

func decode(m *messaging.Message) (event.Event, error) {
	media, _, _ := strings.Cut(m.ContentType, ";")
	switch media = strings.ToLower(strings.TrimSpace(media)); {
	case !strings.HasPrefix(media, "application/cloudevents"):
		return decodeBinary(m)
	case media != ContentType:
		return event.Event{}, fmt.Errorf("the content type is %q; the only format that is known is %s", m.ContentType, ContentType)
	}
	var e event.Event
	if err := json.Unmarshal(m.Body, &e); err != nil {
		return event.Event{}, oneLine(err)
	}
	return e, nil
}

// validate says what is wrong with e, in one line.
func validate(e *event.Event) error {
	if err := e.Validate(); err != nil {
		return oneLine(err)
	}
	if v := e.SpecVersion(); v != specVersion {
		return fmt.Errorf("specversion is %q; the only one that is known is %s", v, specVersion)
	}
	if _, has := e.Extensions()["data"]; has {
		return errors.New("data: is what the event carries, and no name for an attribute")
	}
	return nil
}

// oneLine sorts the SDK's list of what is wrong, which is one of lines.
func oneLine(err error) error {
	var invalid event.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var all []string
	for _, attribute := range slices.Sorted(maps.Keys(invalid)) {
		all = append(all, attribute+": "+strings.TrimSpace(invalid[attribute].Error()))
	}
	return errors.New(strings.Join(all, "; "))
}

// Key is the key of an event for middleware.Deduplicate: its source and id,
// which together are unique for an event. It is "" for what is no event.
func Key(d *messaging.Delivery) string {
	e, err := Binary.Decode(&d.Message)
	if err != nil {
		return ""
	}
	return e.Source() + " " + e.ID()
}
