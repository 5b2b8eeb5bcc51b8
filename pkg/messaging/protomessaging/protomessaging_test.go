package protomessaging_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/handlertest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/protomessaging"
)

var times = protomessaging.For[*timestamppb.Timestamp]()

func TestRoundTrip(t *testing.T) {
	at := timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC))
	m, err := times.Encode(at)
	if err != nil {
		t.Fatal(err)
	}
	if m.ContentType != "application/protobuf" || m.Type != "google.protobuf.Timestamp" {
		t.Errorf("content type %q and type %q", m.ContentType, m.Type)
	}
	got, err := times.Decode(m)
	if err != nil || !proto.Equal(got, at) {
		t.Errorf("decoded %v, %v; want %v", got, err, at)
	}
}

func TestDecode(t *testing.T) {
	good, err := times.Encode(&timestamppb.Timestamp{Seconds: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		contentType string
		typ         string
		body        []byte
		want        string // in the error; "" for none
	}{
		{"no content type", "", "", good.Body, ""},
		{"deprecated content type", "application/x-protobuf", "order.placed", good.Body, ""},
		{"parameters", "Application/Protobuf; encoding=binary", "", good.Body, ""},
		{"bytes of any kind", "application/octet-stream", "", good.Body, ""},
		{"a type of the application", "application/protobuf", "not a.full name", good.Body, ""},
		{"a type that is not known here", "application/protobuf", "shop.v2.Order", good.Body, ""},
		{"an empty body is the zero value", "application/protobuf", "", nil, ""},
		{"JSON", "application/json", "", good.Body, `the content type is "application/json"`},
		{"no media type", ";;", "", good.Body, "the content type is"},
		{"another type", "application/protobuf", "google.protobuf.Duration", good.Body, "of type google.protobuf.Duration"},
		{"broken", "application/protobuf", "", []byte{0xff}, "decode Protocol Buffers as google.protobuf.Timestamp"},
	} {
		m := &messaging.Message{ContentType: c.contentType, Type: c.typ, Body: c.body}
		_, err := times.Decode(m)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestEncodeFails(t *testing.T) {
	for name, c := range map[string]func() (*messaging.Message, error){
		"nil": func() (*messaging.Message, error) { return times.Encode(nil) },
		"not UTF-8": func() (*messaging.Message, error) {
			return protomessaging.For[*wrapperspb.StringValue]().Encode(wrapperspb.String("\xff"))
		},
	} {
		if m, err := c(); err == nil || !strings.Contains(err.Error(), "google.protobuf.") {
			t.Errorf("%s: %v, %v; want an error that names the type", name, m, err)
		}
	}
}

func TestUndecodableIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		h := messaging.Handle(times, func(context.Context, *timestamppb.Timestamp, *messaging.Delivery) error { calls++; return nil })
		handlertest.Serve(t, messaging.Source{}, h, func(b *memory.Broker) {
			handlertest.Publish(t, b, handlertest.Work, &messaging.Message{ContentType: "text/plain"})
			handlertest.Handled(t, b)
			dead := b.DeadLetters(handlertest.Work)
			if calls != 0 || len(dead) != 1 || dead[0].Headers[messaging.HeaderDeadReason] != messaging.ReasonRejected ||
				!strings.Contains(dead[0].Headers[messaging.HeaderDeadError], `the content type is "text/plain"`) {
				t.Errorf("%d calls, dead letters %v", calls, dead)
			}
		})
	})
}

// Durations stand for a type that protoc has generated.
func ExampleFor() {
	waits := protomessaging.For[*durationpb.Duration]()
	m, err := waits.Encode(durationpb.New(90 * time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Type, m.ContentType)

	handle := messaging.Handle(waits, func(_ context.Context, v *durationpb.Duration, _ *messaging.Delivery) error {
		fmt.Println("wait for", v.AsDuration())
		return nil
	})
	_ = handle(context.Background(), &messaging.Delivery{Message: *m})
	// Output:
	// google.protobuf.Duration application/protobuf
	// wait for 1m30s
}
