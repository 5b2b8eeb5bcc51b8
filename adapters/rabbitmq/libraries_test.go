package rabbitmq

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	neturl "net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// foreign is a message of another library's publisher.
type foreign struct {
	Name       string
	Properties map[string]any
	Headers    map[string]map[string]any
	Body       string
	BodyBase64 string `json:"body_base64"`
}

// foreigners are those in testdata/foreign, and some that are too large to
// stand there.
func foreigners(t testing.TB) map[string]amqp.Publishing {
	t.Helper()
	files, err := filepath.Glob("testdata/foreign/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	all := map[string]amqp.Publishing{
		"large headers":   {Headers: amqp.Table{"trace": strings.Repeat("x", frameSize-2000)}, Body: []byte("m")},
		"many headers":    {Headers: manyHeaders(2000), Body: []byte("m")},
		"full frame":      filledUp(amqp.Table{}, frameSize+frameFudge),
		"full of headers": filledUp(manyHeaders(maxHeaders-2), frameSize+frameFudge),
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []foreign
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, f := range list {
			all[filepath.Base(file)+": "+f.Name] = f.publishing(t)
		}
	}
	return all
}

// filledUp is a message whose headers, with one more, make a frame of that size.
func filledUp(headers amqp.Table, size int) amqp.Publishing {
	p := amqp.Publishing{Headers: headers, Body: []byte("m")}
	headers["big"] = ""
	headers["big"] = strings.Repeat("x", size-contentHeaderSize(&p))
	return p
}

func (f foreign) publishing(t testing.TB) amqp.Publishing {
	t.Helper()
	p := amqp.Publishing{Headers: amqp.Table{}, Body: []byte(f.Body)}
	if f.BodyBase64 != "" {
		p.Body = fromBase64(f.BodyBase64)
	}
	for name, value := range f.Headers {
		p.Headers[name] = fieldOf(value)
	}
	text := map[string]*string{
		"content_type": &p.ContentType, "content_encoding": &p.ContentEncoding, "message_id": &p.MessageId, "type": &p.Type,
		"correlation_id": &p.CorrelationId, "reply_to": &p.ReplyTo, "app_id": &p.AppId, "user_id": &p.UserId,
	}
	for name, value := range f.Properties {
		switch plain, coded := strings.CutSuffix(name, "_base64"); {
		case coded:
			*text[plain] = string(fromBase64(value))
		case name == "timestamp":
			p.Timestamp = time.Unix(int64(value.(float64)), 0)
		case name == "delivery_mode":
			p.DeliveryMode = uint8(value.(float64))
		case name == "priority":
			p.Priority = uint8(value.(float64))
		case text[name] == nil:
			t.Fatalf("%s: unknown property %q", f.Name, name)
		default:
			*text[name] = value.(string)
		}
	}
	return p
}

func fromBase64(v any) []byte {
	b, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		panic(err)
	}
	return b
}

// fieldOf makes the value of a header of an object with its type. It panics
// where it is none.
func fieldOf(tagged map[string]any) any {
	for kind, v := range tagged {
		number, _ := v.(float64)
		switch kind {
		case "S", "t":
			return v
		case "V":
			return nil
		case "x":
			return fromBase64(v)
		case "b":
			return int8(number)
		case "s":
			return int16(number)
		case "I":
			return int32(number)
		case "l":
			return int64(number)
		case "f":
			return float32(number)
		case "d":
			return number
		case "T":
			return time.Unix(int64(number), 0)
		case "D":
			parts := v.([]any)
			return amqp.Decimal{Scale: uint8(parts[0].(float64)), Value: int32(parts[1].(float64))}
		case "A":
			list := []any{}
			for _, one := range v.([]any) {
				list = append(list, fieldOf(one.(map[string]any)))
			}
			return list
		case "F":
			table := amqp.Table{}
			for name, one := range v.(map[string]any) {
				table[name] = fieldOf(one.(map[string]any))
			}
			return table
		}
	}
	panic(fmt.Sprintf("no such field type: %v", tagged))
}

// TestForeignMessages: what another library's publisher has sent is delivered
// once with everything that it has, and is whole, with the types of its
// headers, among the dead letters and when it comes back from there.
func TestForeignMessages(t *testing.T) {
	url := rabbitmqtest.URL(t)
	b := open(t)
	for name, p := range foreigners(t) {
		t.Run(name, func(t *testing.T) {
			passesThrough(t, b, url, p, frameSize+frameFudge)
		})
	}
}

// passesThrough publishes p as another program would, has it rejected, and
// redrives it. Frames have at most limit bytes.
func passesThrough(t *testing.T, b *Broker, url string, p amqp.Publishing, limit int) {
	t.Helper()
	q := declare(t, b)
	publishRaw(t, url, q.Name(), p)
	got := make(chan messaging.Delivery, 10)
	sub := subscribe(t, b, messaging.Source{Address: q}, func(_ context.Context, d *messaging.Delivery) error {
		got <- *d
		return messaging.Reject(errors.New("on purpose"))
	})
	checkForeign(t, p, next(t, got, "the message"))
	dead := messaging.Queue(q.Name() + ".dead")
	counts(t, b, dead, 1, -1)
	if err := sub.stop(); err != nil || len(got) > 0 {
		t.Errorf("it came %d times more (%v)", len(got), err)
	}
	letter := peek(t, url, dead)
	var to messaging.Address // where the letter says
	if contentHeaderSize(&p) == limit {
		to = q // it has no room to say anything
	} else if letter.Headers[messaging.HeaderDeadReason] != messaging.ReasonRejected {
		t.Errorf("the dead letter has %v", letter.Headers)
	}
	maps.DeleteFunc(letter.Headers, func(key string, _ any) bool { return messaging.IsDeadLetterHeader(key) })
	same(t, "the dead letter", p, letter)
	if n, err := messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{To: to}); n != 1 || err != nil {
		t.Fatalf("%d redriven: %v", n, err)
	}
	counts(t, b, q, 1, -1)
	same(t, "what was redriven", p, peek(t, url, q))
}

// checkForeign compares what the handler got.
func checkForeign(t *testing.T, p amqp.Publishing, d messaging.Delivery) {
	t.Helper()
	id := p.MessageId
	if uuid, ok := p.Headers["_watermill_message_uuid"].(string); ok {
		id = uuid
	}
	if d.ID != id || d.Type != p.Type || d.ContentType != p.ContentType || d.CorrelationID != p.CorrelationId || d.ReplyTo != p.ReplyTo ||
		string(d.Body) != string(p.Body) || d.Redelivered || d.Attempt != 1 || !p.Timestamp.IsZero() && !d.Time.Equal(p.Timestamp) {
		t.Errorf("received %+v", d)
	}
	for key, value := range p.Headers {
		if metadataOnly(key) {
			continue
		}
		if got, there := d.Headers[key]; !there || got != headerText(value) {
			t.Errorf("header %q is %q (%v), want %q", key, got, there, headerText(value))
		}
	}
}

// metadataOnly are headers that a handler does not see.
func metadataOnly(key string) bool {
	return key == "_watermill_message_uuid" || key == "x-delivery-count"
}

// peek returns the message at the head of a queue, which stays there.
func peek(t *testing.T, url string, q messaging.Address) amqp.Delivery {
	t.Helper()
	u, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConfig(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := dial(t.Context(), c, c.hosts[0], "peek") // which reads frames that the broker has made larger
	if err != nil {
		t.Fatal(err)
	}
	defer g.close(t.Context().Done())
	ch, err := g.conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	d, there, err := ch.Get(q.Name(), false)
	if err != nil || !there {
		t.Fatalf("nothing is in %s (%v)", q, err)
	}
	return d
}

// same compares a message with what was published, types included.
func same(t *testing.T, what string, want amqp.Publishing, got amqp.Delivery) {
	t.Helper()
	headers := maps.Clone(want.Headers)
	maps.DeleteFunc(headers, func(key string, _ any) bool { return key == "x-delivery-count" }) // the broker's own
	delete(got.Headers, "x-delivery-count")
	for key, value := range headers {
		if !reflect.DeepEqual(got.Headers[key], value) {
			t.Errorf("%s: header %q is %#v, want %#v", what, key, got.Headers[key], value)
		}
	}
	for key := range got.Headers {
		if _, there := headers[key]; !there && key != headerUserID {
			t.Errorf("%s: header %q was added: %v", what, key, got.Headers[key])
		}
	}
	now := amqp.Publishing{Headers: want.Headers, ContentType: got.ContentType, ContentEncoding: got.ContentEncoding, DeliveryMode: got.DeliveryMode,
		Priority: got.Priority, CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo, Expiration: got.Expiration, MessageId: got.MessageId,
		Timestamp: got.Timestamp, Type: got.Type, UserId: want.UserId, AppId: got.AppId, Body: got.Body}
	if !now.Timestamp.Equal(want.Timestamp) {
		t.Errorf("%s: the timestamp is %s, want %s", what, now.Timestamp, want.Timestamp)
	}
	now.Timestamp = want.Timestamp
	if string(now.Body) == string(want.Body) {
		now.Body = want.Body // nil or empty
	}
	if !reflect.DeepEqual(now, want) {
		t.Errorf("%s: it is\n%+v, want\n%+v", what, now, want)
	}
}
