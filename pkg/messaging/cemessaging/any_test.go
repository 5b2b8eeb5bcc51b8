package cemessaging_test

import (
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"pgregory.net/rapid"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/cemessaging"
)

// Whatever a foreign producer sends is an error or an event, and what is an
// event can be encoded again in either mode.
func TestAnyMessage(t *testing.T) {
	attribute := rapid.SampledFrom([]string{"specversion", "id", "source", "type", "subject", "time", "dataschema", "ext", "E x", "", "data", "database64", "datacontenttype"})
	value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"1.0", "1", "/s", "t", "2026-03-01T12:00:00Z", "\xff"}))
	body := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.SampledFrom([]string{
		`{}`, `null`, `[]`, `"x"`, `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`,
		`{"specversion":"1.0","id":1,"source":{},"type":null}`, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"%"}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"x","ext":[1]}`,
	}), func(s string) []byte { return []byte(s) }))
	contentType := rapid.OneOf(rapid.SampledFrom([]string{"", cemessaging.ContentType, "text/plain"}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		m := &messaging.Message{
			ContentType: contentType.Draw(t, "contentType"),
			Headers:     map[string]string{},
			Body:        body.Draw(t, "body"),
		}
		if rapid.Bool().Draw(t, "valid") {
			m.Headers = valid()
		}
		for name, v := range rapid.MapOf(attribute, value).Draw(t, "attributes") {
			m.Headers[cemessaging.Prefix+name] = v
		}
		e, err := cemessaging.Binary.Decode(m)
		if err != nil {
			return
		}
		for _, c := range []messaging.Codec[event.Event]{cemessaging.Binary, cemessaging.Structured} {
			again, err := c.Encode(e)
			if err != nil {
				t.Fatalf("decoded %v, which cannot be encoded: %v", e, err)
			}
			if got, err := c.Decode(again); err != nil || got.ID() != e.ID() || got.Source() != e.Source() {
				t.Fatalf("%v became %v, %v", e, got, err)
			}
		}
	})
}
