package cemessaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Prefix begins the headers that are attributes of an event. On receipt, a
// colon may stand for the underscore.
const Prefix = "cloudEvents_"

const otherPrefix = "cloudEvents:"

func encodeBinary(e event.Event) (*messaging.Message, error) {
	headers := map[string]string{
		Prefix + "specversion": e.SpecVersion(),
		Prefix + "id":          e.ID(),
		Prefix + "source":      e.Source(),
		Prefix + "type":        e.Type(),
	}
	if s := e.Subject(); s != "" {
		headers[Prefix+"subject"] = s
	}
	if s := e.DataSchema(); s != "" {
		headers[Prefix+"dataschema"] = s
	}
	if t := e.Time(); !t.IsZero() {
		headers[Prefix+"time"] = types.FormatTime(t)
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return nil, fmt.Errorf("extension %s: %w", name, err)
		}
		headers[Prefix+name] = text
	}
	return &messaging.Message{ContentType: e.DataContentType(), Headers: headers, Body: e.Data()}, nil
}

func decodeBinary(m *messaging.Message) (event.Event, error) {
	attributes := attributesOf(m)
	if len(attributes) == 0 {
		return event.Event{}, fmt.Errorf("the message is none: it has neither the content type %s nor headers that begin with %s", ContentType, Prefix)
	}
	if _, has := attributes["specversion"]; !has {
		return event.Event{}, errors.New("the required attribute specversion is missing")
	}
	e := event.New(attributes["specversion"])
	if e.SpecVersion() != specVersion {
		return event.Event{}, fmt.Errorf("specversion is %q; the only one that is known is %s", attributes["specversion"], specVersion)
	}
	delete(attributes, "specversion")
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if err := set(&e, name, attributes[name]); err != nil {
			return event.Event{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if m.ContentType != "" {
		e.SetDataContentType(m.ContentType)
	}
	if len(m.Body) > 0 {
		e.DataEncoded = slices.Clone(m.Body)
		e.DataBase64 = !fitsJSON(e.DataMediaType(), m.Body) // should it be encoded in structured mode
	}
	return e, nil
}

// fitsJSON says whether data may stand in a JSON document without base64: as the
// JSON that it is, or as a string. Data of no media type counts as JSON.
func fitsJSON(media string, data []byte) bool {
	switch media {
	case "", event.ApplicationJSON, event.TextJSON:
		return json.Valid(data)
	}
	return utf8.Valid(data)
}

// attributesOf returns the headers of m that are attributes, by their name.
func attributesOf(m *messaging.Message) map[string]string {
	found := map[string]string{}
	for key, value := range m.Headers {
		name, is := strings.CutPrefix(key, Prefix)
		if !is {
			name, is = strings.CutPrefix(key, otherPrefix)
		}
		if is {
			found[name] = value
		}
	}
	return found
}

// set sets one attribute. Most of what is wrong with it, the event remembers
// until it is validated.
func set(e *event.Event, name, value string) error {
	switch name {
	case "id":
		e.SetID(value)
	case "source":
		e.SetSource(value)
	case "type":
		e.SetType(value)
	case "subject":
		e.SetSubject(value)
	case "dataschema":
		e.SetDataSchema(value)
	case "time":
		t, err := types.ParseTime(value)
		if err != nil {
			return err
		}
		e.SetTime(t)
	case "datacontenttype":
		return errors.New("is the content type of the message, and no header")
	default:
		e.SetExtension(name, value)
	}
	return nil
}
