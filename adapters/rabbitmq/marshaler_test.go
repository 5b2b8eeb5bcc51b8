package rabbitmq

import (
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// arrive is p as a consumer gets it.
func arrive(p amqp.Publishing) amqp.Delivery {
	return amqp.Delivery{
		Headers: maps.Clone(p.Headers), ContentType: p.ContentType, ContentEncoding: p.ContentEncoding,
		DeliveryMode: p.DeliveryMode, Priority: p.Priority, CorrelationId: p.CorrelationId, ReplyTo: p.ReplyTo,
		Expiration: p.Expiration, MessageId: p.MessageId, Timestamp: p.Timestamp.Truncate(time.Second), Type: p.Type,
		UserId: p.UserId, AppId: p.AppId, Body: p.Body,
	}
}

// roundTrip sends m through a Marshaler and back.
func roundTrip(t *testing.T, marshaler wamqp.Marshaler, m messaging.Message) messaging.Message {
	t.Helper()
	p, err := encode(marshaler, &m)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkPublishing(&p, defaultMaxMessageSize, frameSize); err != nil {
		t.Fatal(err)
	}
	d := arrive(p)
	c := takeControl(&d)
	got, err := decode(marshaler, d, &c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var full = messaging.Message{
	ID: "id-1", Type: "order.placed", ContentType: "application/json", CorrelationID: "c-1", ReplyTo: "answers",
	Time: time.UnixMilli(1_700_000_000_123).UTC(), TTL: 90 * time.Second,
	Headers: map[string]string{"mine": "kept", "": "", "bytes": "\xff\x00"}, Body: []byte("\x00body\xff"),
}

func TestMessageSurvivesEveryMarshaler(t *testing.T) {
	for _, marshaler := range []wamqp.Marshaler{Marshaler{}, wamqp.DefaultMarshaler{}} {
		for name, m := range map[string]messaging.Message{
			"full":  full,
			"empty": {ID: "x", Time: time.UnixMilli(1).UTC()},
			"reserved headers": {ID: "x", Time: time.UnixMilli(1).UTC(), Headers: map[string]string{
				"_watermill_message_uuid": "mine", "_warren_type": "mine", "_warren_header_x": "mine", "x-warren-failures": "mine",
				"x-death": "mine", "x-delivery-count": "9", "x-first-death-queue": "mine", "CC": "mine", "BCC": "mine",
				"warren-to": "mine", "warren-delay-3": "mine", "warren-dead-reason": "mine", "x-custom": "mine", "cc": "mine",
			}},
		} {
			got := roundTrip(t, marshaler, m)
			if len(m.Body) == 0 {
				got.Body = nil
			}
			if !reflect.DeepEqual(got, m) {
				t.Errorf("%T, %s:\n\t%#v\nwant\n\t%#v", marshaler, name, got, m)
			}
		}
	}
}

func TestMarshalerSetsProperties(t *testing.T) {
	p, err := encode(Marshaler{}, &full)
	if err != nil {
		t.Fatal(err)
	}
	want := amqp.Publishing{
		MessageId: "id-1", Type: "order.placed", ContentType: "application/json", CorrelationId: "c-1", ReplyTo: "answers",
		Timestamp: time.UnixMilli(1_700_000_000_123), DeliveryMode: amqp.Persistent, Expiration: "90000", Body: full.Body,
		Headers: amqp.Table{"_watermill_message_uuid": "id-1", "_warren_time": "1700000000123", "mine": "kept", "": "", "bytes": "\xff\x00",
			"x-warren-ttl": "90000", "x-warren-expires": p.Headers["x-warren-expires"]},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("\n\t%#v\nwant\n\t%#v", p, want)
	}
	for key, value := range p.Headers {
		if _, text := value.(string); !text {
			t.Errorf("header %s is a %T; a stock watermill-amqp consumer fails on what is no string", key, value)
		}
	}
}

// TestMarshalerUnderstandsStock: what either Marshaler makes, the other reads.
func TestMarshalerUnderstandsStock(t *testing.T) {
	m := &message.Message{UUID: "u", Metadata: message.Metadata{"k": "v"}, Payload: []byte("p")}
	for _, c := range []struct{ writes, reads wamqp.Marshaler }{
		{Marshaler{}, wamqp.DefaultMarshaler{}},
		{wamqp.DefaultMarshaler{}, Marshaler{}},
		{Marshaler{}, Marshaler{}},
	} {
		p, err := c.writes.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.reads.Unmarshal(arrive(p))
		if err != nil || got.UUID != m.UUID || !maps.Equal(got.Metadata, m.Metadata) || string(got.Payload) != "p" {
			t.Errorf("%T to %T: %+v, %v", c.writes, c.reads, got, err)
		}
	}
}

func TestUnmarshalForeign(t *testing.T) {
	d := amqp.Delivery{
		MessageId: "m-1", Type: "t", Timestamp: time.Unix(1_700_000_000, 0), Expiration: "1500",
		Headers: amqp.Table{"n": int64(5), "_warren_time": "1234", "deep": amqp.Table{"a": []any{int32(1)}}},
		Body:    []byte{0xff},
	}
	c := takeControl(&d)
	got, err := decode(Marshaler{}, d, &c)
	want := messaging.Message{ID: "m-1", Type: "t", Time: time.Unix(1_700_000_000, 0).UTC(), TTL: 1500 * time.Millisecond,
		Headers: map[string]string{"n": "5", "deep": `{"a":[1]}`}, Body: []byte{0xff}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n\t%#v\nwant\n\t%#v", err, got, want)
	}
	got.Body[0] = 0
	if d.Body[0] != 0xff {
		t.Error("the body is shared with the message as it came")
	}
}

// FuzzHeaders: an application's headers arrive as they were given, whatever
// they are.
func FuzzHeaders(f *testing.F) {
	f.Add("k", "v", "_warren_header_k", "w")
	f.Add("CC", "v", "x-warren-", "\xff")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		if len(k1) > 200 || len(k2) > 200 || len(v1)+len(v2) > 1<<16 {
			t.Skip()
		}
		m := messaging.Message{ID: "x", Time: time.UnixMilli(1).UTC(), Headers: map[string]string{k1: v1, k2: v2}}
		for _, marshaler := range []wamqp.Marshaler{Marshaler{}, wamqp.DefaultMarshaler{}} {
			if got := roundTrip(t, marshaler, m); !maps.Equal(got.Headers, m.Headers) {
				t.Errorf("%T: %q became %q", marshaler, m.Headers, got.Headers)
			}
		}
	})
}

// badMarshaler makes what AMQP cannot carry.
type badMarshaler struct{ wamqp.DefaultMarshaler }

func (badMarshaler) Unmarshal(amqp.Delivery) (*message.Message, error) { panic("on purpose") }

func TestCheckPublishing(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, c := range map[string]struct {
		p    amqp.Publishing
		want string
	}{
		"body":         {amqp.Publishing{Body: make([]byte, 101)}, "the body has 101 bytes; the limit is 100"},
		"headers":      {amqp.Publishing{Headers: amqp.Table{"k": strings.Repeat("x", frameSize)}}, "the headers and properties have "},
		"many headers": {amqp.Publishing{Headers: manyHeaders(maxHeaders + 1)}, "there are 8193 headers"},
		"property":     {amqp.Publishing{AppId: long}, "marshal: property app_id has 256 bytes"},
		"key":          {amqp.Publishing{Headers: amqp.Table{long: ""}}, "marshal: a header's name has 256 bytes"},
		"type":         {amqp.Publishing{Headers: amqp.Table{"k": struct{}{}}}, "marshal: "},
	} {
		if err := checkPublishing(&c.p, 100, frameSize); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	if _, err := decode(badMarshaler{}, amqp.Delivery{}, &control{}); err == nil || !strings.Contains(err.Error(), "panicked: on purpose") {
		t.Errorf("a Marshaler that panics: %v", err)
	}
}

func manyHeaders(n int) amqp.Table {
	h := amqp.Table{}
	for i := range n {
		h[string([]byte{byte(i), byte(i >> 8)})] = ""
	}
	return h
}

// TestNothingIsLeftOver: what is used again for the next message has nothing of
// the last one, and a receiver's headers stay as they came.
func TestNothingIsLeftOver(t *testing.T) {
	plain := messaging.Message{ID: "plain", Time: time.UnixMilli(1).UTC(), Body: []byte("x")}
	for range 100 { // under -race, a pool drops some of what it gets
		first := roundTrip(t, Marshaler{}, full)
		if _, err := encode(Marshaler{}, &full); err != nil {
			t.Fatal(err)
		}
		if got := roundTrip(t, Marshaler{}, plain); !reflect.DeepEqual(got, plain) {
			t.Fatalf("after a message with headers:\n\t%#v\nwant\n\t%#v", got, plain)
		}
		if !maps.Equal(first.Headers, full.Headers) {
			t.Fatalf("after another message, the headers of the first are %v", first.Headers)
		}
	}
}

// TestTimeIsInTheID: no header has the time where the ID has it to the
// millisecond, and it comes back all the same.
func TestTimeIsInTheID(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	const id = "018bcfe5-687b-7000-8000-000000000000" // of that time
	for _, test := range []struct {
		name   string
		m      messaging.Message
		header bool
	}{
		{"of the ID", messaging.Message{ID: id, Time: at}, false},
		{"another millisecond", messaging.Message{ID: id, Time: at.Add(time.Millisecond)}, true},
		{"another second", messaging.Message{ID: id, Time: at.Add(time.Hour)}, true},
		{"an ID without a time", messaging.Message{ID: "018bcfe5-687b-4000-8000-000000000000", Time: at}, true},
		{"no UUID", messaging.Message{ID: "order-1", Time: at}, true},
		{"not quite a UUID", messaging.Message{ID: "018bcfe5-687z-7000-8000-000000000000", Time: at}, true},
	} {
		p, err := encode(Marshaler{}, &test.m)
		if err != nil {
			t.Fatal(err)
		}
		if _, header := p.Headers[MetadataTime]; header != test.header {
			t.Errorf("%s: has the header: %t, want %t", test.name, header, test.header)
		}
		if got := roundTrip(t, Marshaler{}, test.m); !got.Time.Equal(test.m.Time) {
			t.Errorf("%s: time is %s, want %s", test.name, got.Time, test.m.Time)
		}
	}
	passedOn, err := Marshaler{}.Unmarshal(amqp.Delivery{MessageId: id})
	if want := strconv.FormatInt(at.UnixMilli(), 10); err != nil || passedOn.Metadata[MetadataTime] != want {
		t.Errorf("time of a message without a timestamp is %q, %v, want its ID's, %s", passedOn.Metadata[MetadataTime], err, want)
	}
	m := messaging.Message{Body: []byte("x")}
	if err := messaging.Prepare(messaging.Queue("q"), []*messaging.Message{&m}); err != nil {
		t.Fatal(err)
	}
	if p, err := encode(Marshaler{}, &m); err != nil || len(p.Headers) != 1 {
		t.Errorf("headers of a message that Publish has completed are %v, %v; want Watermill's ID only", p.Headers, err)
	}
}
