package cemessaging_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/handlertest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/cemessaging"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func full(t *testing.T, contentType string, data any) event.Event {
	t.Helper()
	e := event.New()
	e.SetID("a-1")
	e.SetSource("/shop/7")
	e.SetType("order.placed")
	e.SetSubject("日本")
	e.SetTime(at)
	e.SetDataSchema("https://example.org/order")
	e.SetExtension("tenant", "acme")
	e.SetExtension("priority", 3)
	if data != nil {
		if err := e.SetData(contentType, data); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	for name, e := range map[string]event.Event{
		"JSON":    full(t, "application/json", map[string]int{"n": 7}),
		"text":    full(t, "text/plain", "hello"),
		"bytes":   full(t, "application/octet-stream", []byte{0, 0xff, 0xfe}),
		"no data": full(t, "", nil),
	} {
		for mode, c := range map[string]messaging.Codec[event.Event]{"binary": cemessaging.Binary, "structured": cemessaging.Structured} {
			for other, decode := range map[string]messaging.Codec[event.Event]{"binary": cemessaging.Binary, "structured": cemessaging.Structured} {
				m, err := c.Encode(e)
				if err != nil {
					t.Fatal(err)
				}
				if m.ID != "a-1" || m.Type != "order.placed" {
					t.Errorf("%s, %s: ID %q and Type %q", name, mode, m.ID, m.Type)
				}
				got, err := decode.Decode(m)
				if err != nil {
					t.Fatalf("%s, %s decoded as %s: %v", name, mode, other, err)
				}
				sameEvent(t, name+", "+mode, got, e)
				// And once more in the other mode, as a forwarder does.
				again, err := decode.Encode(got)
				if err != nil {
					t.Fatal(err)
				}
				if got, err = c.Decode(again); err != nil {
					t.Fatal(err)
				}
				sameEvent(t, name+", "+mode+" forwarded as "+other, got, e)
			}
		}
	}
}

func sameEvent(t *testing.T, what string, got, want event.Event) {
	t.Helper()
	for attribute, pair := range map[string][2]string{
		"id":              {got.ID(), want.ID()},
		"source":          {got.Source(), want.Source()},
		"type":            {got.Type(), want.Type()},
		"subject":         {got.Subject(), want.Subject()},
		"time":            {got.Time().UTC().String(), want.Time().UTC().String()},
		"dataschema":      {got.DataSchema(), want.DataSchema()},
		"datacontenttype": {got.DataContentType(), want.DataContentType()},
		"tenant":          {fmt.Sprint(got.Extensions()["tenant"]), "acme"},
		"priority":        {fmt.Sprint(got.Extensions()["priority"]), "3"},
		"data":            {string(got.Data()), string(want.Data())},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s is %q, want %q", what, attribute, pair[0], pair[1])
		}
	}
}

func TestBinaryMode(t *testing.T) {
	m, err := cemessaging.Binary.Encode(full(t, "application/json", map[string]int{"n": 7}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"cloudEvents_specversion": "1.0", "cloudEvents_id": "a-1", "cloudEvents_source": "/shop/7",
		"cloudEvents_type": "order.placed", "cloudEvents_subject": "日本", "cloudEvents_time": "2026-03-01T12:00:00.123456789Z",
		"cloudEvents_dataschema": "https://example.org/order", "cloudEvents_tenant": "acme", "cloudEvents_priority": "3",
	}
	if !maps.Equal(m.Headers, want) || m.ContentType != "application/json" || string(m.Body) != `{"n":7}` {
		t.Errorf("headers %v, content type %q, body %s", m.Headers, m.ContentType, m.Body)
	}
}

func TestStructuredMode(t *testing.T) {
	m, err := cemessaging.Structured.Encode(full(t, "application/json", map[string]int{"n": 7}))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Headers) != 0 || m.ContentType != "application/cloudevents+json" || !strings.Contains(string(m.Body), `"data":{"n":7}`) {
		t.Errorf("headers %v, content type %q, body %s", m.Headers, m.ContentType, m.Body)
	}
}

// valid are the headers of an event in binary mode, with changes: "" deletes.
func valid(changes ...string) map[string]string {
	h := map[string]string{"cloudEvents_specversion": "1.0", "cloudEvents_id": "1", "cloudEvents_source": "/s", "cloudEvents_type": "t"}
	for i := 0; i < len(changes); i += 2 {
		if h[changes[i]] = changes[i+1]; changes[i+1] == "" {
			delete(h, changes[i])
		}
	}
	return h
}

func TestDecode(t *testing.T) {
	const structured = "application/cloudevents+json"
	for _, c := range []struct {
		name string
		m    messaging.Message
		want string // in the error; "" for none
	}{
		{"as little as there may be", messaging.Message{Headers: valid()}, ""},
		{"colons", messaging.Message{Headers: map[string]string{"cloudEvents:specversion": "1.0", "cloudEvents:id": "1",
			"cloudEvents:source": "/s", "cloudEvents:type": "t"}}, ""},
		{"other headers", messaging.Message{Headers: valid("traceparent", "x", "id", "y")}, ""},
		{"structured, with parameters", messaging.Message{ContentType: "Application/CloudEvents+JSON; charset=utf-8",
			Body: []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t"}`)}, ""},

		{"no event", messaging.Message{Body: []byte("hello")}, "the message is none"},
		{"no specversion", messaging.Message{Headers: valid("cloudEvents_specversion", "")}, "the required attribute specversion is missing"},
		{"no id", messaging.Message{Headers: valid("cloudEvents_id", "")}, "id: MUST be a non-empty string"},
		{"no source", messaging.Message{Headers: valid("cloudEvents_source", "")}, "source: REQUIRED"},
		{"no type", messaging.Message{Headers: valid("cloudEvents_type", "")}, "type: MUST be a non-empty string"},
		{"nothing but the version", messaging.Message{Headers: map[string]string{"cloudEvents_specversion": "1.0"}}, "id: MUST be a non-empty string; source: REQUIRED; type: MUST"},
		{"another version", messaging.Message{Headers: valid("cloudEvents_specversion", "0.3")}, `specversion is "0.3"`},
		{"no version at all", messaging.Message{Headers: valid("cloudEvents_specversion", "x")}, `specversion is "x"`},
		{"a time that is none", messaging.Message{Headers: valid("cloudEvents_time", "yesterday")}, "time: "},
		{"a source that is none", messaging.Message{Headers: valid("cloudEvents_source", "%zz")}, "source: "},
		{"an extension of no name", messaging.Message{Headers: valid("cloudEvents_my-ext", "x")}, "my-ext"},
		{"the content type as a header", messaging.Message{Headers: valid("cloudEvents_datacontenttype", "text/plain")}, "datacontenttype: "},
		{"data as a header", messaging.Message{Headers: valid("cloudEvents_data", "x")}, "data: "},
		{"structured, not JSON", messaging.Message{ContentType: structured, Body: []byte("hello")}, "decode a CloudEvent: "},
		{"structured, empty", messaging.Message{ContentType: structured}, "decode a CloudEvent: "},
		{"structured, without attributes", messaging.Message{ContentType: structured, Body: []byte(`{"specversion":"1.0"}`)}, "id: MUST be a non-empty string; source: REQUIRED; type: MUST"},
		{"structured, no version", messaging.Message{ContentType: structured, Body: []byte(`{"id":"1"}`)}, "specversion"},
		{"structured, another version", messaging.Message{ContentType: structured, Body: []byte(`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`)}, `specversion is "0.3"`},
		{"a batch", messaging.Message{ContentType: "application/cloudevents-batch+json", Body: []byte("[]")}, "the only format that is known"},
		{"another format", messaging.Message{ContentType: "application/cloudevents+avro"}, "the only format that is known"},
	} {
		e, err := cemessaging.Binary.Decode(&c.m)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err == nil && (e.ID() != "1" || e.Source() != "/s" || e.Type() != "t") {
			t.Errorf("%s: decoded %v", c.name, e)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error has several lines: %q", c.name, err)
		}
	}
}

func TestEncodeRefusesWhatIsNotValid(t *testing.T) {
	old := event.New("0.3")
	old.SetID("1")
	old.SetSource("/s")
	old.SetType("t")
	for want, e := range map[string]event.Event{
		"id: MUST be a non-empty string": event.New(),
		"specversion: missing":           {},
		`specversion is "0.3"`:           old,
	} {
		for _, c := range []messaging.Codec[event.Event]{cemessaging.Binary, cemessaging.Structured} {
			if _, err := c.Encode(e); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
}

func TestLongAttributesAreNotTheMessages(t *testing.T) {
	e := full(t, "", nil)
	e.SetID(strings.Repeat("x", 256))
	e.SetType(strings.Repeat("y", 256))
	m, err := cemessaging.Binary.Encode(e)
	if err != nil || m.ID != "" || m.Type != "" {
		t.Fatalf("ID %q, Type %q, %v", m.ID, m.Type, err)
	}
	if got, err := cemessaging.Binary.Decode(m); err != nil || got.ID() != e.ID() || got.Type() != e.Type() {
		t.Errorf("decoded %v, %v", got, err)
	}
}

func TestDecodedDataIsACopy(t *testing.T) {
	m := &messaging.Message{Headers: valid(), Body: []byte("abc")}
	e, err := cemessaging.Binary.Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	m.Body[0] = 'x'
	if string(e.Data()) != "abc" {
		t.Errorf("the event's data changed to %q with the message", e.Data())
	}
}

func TestKey(t *testing.T) {
	e := full(t, "", nil)
	for _, c := range []messaging.Codec[event.Event]{cemessaging.Binary, cemessaging.Structured} {
		m, err := c.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if key := cemessaging.Key(&messaging.Delivery{Message: *m}); key != "/shop/7 a-1" {
			t.Errorf("key %q", key)
		}
	}
	if key := cemessaging.Key(&messaging.Delivery{}); key != "" {
		t.Errorf("the key of no event is %q", key)
	}
}

// An event without what it must have is dead-lettered at once, with the reason.
func TestInvalidIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		h := messaging.Handle(cemessaging.Binary, func(context.Context, event.Event, *messaging.Delivery) error { calls++; return nil })
		handlertest.Serve(t, messaging.Source{}, h, func(b *memory.Broker) {
			handlertest.Publish(t, b, handlertest.Work, &messaging.Message{Headers: valid("cloudEvents_id", "")})
			handlertest.Handled(t, b)
			dead := b.DeadLetters(handlertest.Work)
			if calls != 0 || len(dead) != 1 || dead[0].Headers[messaging.HeaderDeadReason] != messaging.ReasonRejected ||
				!strings.Contains(dead[0].Headers[messaging.HeaderDeadError], "id: MUST be a non-empty string") {
				t.Errorf("%d calls, dead letters %v", calls, dead)
			}
		})
	})
}
