package rabbitmq

import (
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// odd is a message of another program, with everything that AMQP has.
func odd() amqp.Delivery {
	return amqp.Delivery{
		ContentType: "a/b", ContentEncoding: "gzip", DeliveryMode: 1, Priority: 7, CorrelationId: "c", ReplyTo: "r",
		MessageId: "m", Timestamp: time.Unix(1_700_000_000, 0), Type: "t", UserId: "guest", AppId: "app", Body: []byte("b"),
		Headers: amqp.Table{
			"int": int64(5), "byte": byte(1), "list": []any{int32(1), amqp.Table{"x": nil}}, "decimal": amqp.Decimal{Scale: 1, Value: 5},
			"x-death": []any{amqp.Table{"queue": "elsewhere", "count": int64(2)}}, "x-first-death-queue": "elsewhere",
		},
	}
}

// TestRetryCopyLosesNothing: after a failure and a wait, the message is what
// it was, and only its count of failures has grown.
func TestRetryCopyLosesNothing(t *testing.T) {
	now := time.UnixMilli(1_700_000_100_000)
	for _, wait := range []time.Duration{0, 300 * time.Millisecond} {
		raw := odd()
		c := takeControl(&raw)
		for failures := 1; failures <= 3; failures++ {
			p := retryCopy(&raw, &c, failures, now)
			if p.UserId != "" {
				t.Error("user_id is set: the broker accepts it from that user only")
			}
			if wait > 0 {
				p = delayed(p, "q", wait).publishing
				if p.Headers["x-death"] != nil {
					t.Error("x-death goes into the wait queues: RabbitMQ 3 drops what seems to go round")
				}
				p.Headers["x-death"] = []any{amqp.Table{"queue": "warren.delay.1"}, amqp.Table{"queue": "warren.delay.0"}}
			}
			raw = arrive(p)
			raw.Headers["x-delivery-count"] = int64(3)
			if c = takeControl(&raw); c.failures != failures {
				t.Fatalf("%d failures are counted as %d", failures, c.failures)
			}
			if want := odd(); !reflect.DeepEqual(raw, want) {
				t.Fatalf("wait %s, after %d failures:\n\t%#v\nwant\n\t%#v", wait, failures, raw, want)
			}
		}
	}
}

// TestOwnDeathsAreNotShown: the wait queues leave no trace.
func TestOwnDeathsAreNotShown(t *testing.T) {
	raw := amqp.Delivery{Headers: amqp.Table{
		"mine": "kept", "warren-to": "q", "warren-delay-2": "1", "x-warren-failures": "1",
		"x-death":             []any{amqp.Table{"queue": "warren.delay.2"}},
		"x-first-death-queue": "warren.delay.2", "x-first-death-reason": "expired", "x-first-death-exchange": "warren.delay.2",
		"x-last-death-queue": "warren.delay.2", "x-last-death-reason": "expired",
	}}
	takeControl(&raw)
	if want := (amqp.Table{"mine": "kept"}); !maps.Equal(raw.Headers, want) {
		t.Errorf("%v", raw.Headers)
	}
}

func TestTTLIsKept(t *testing.T) {
	sent := time.Now()
	p, err := encode(Marshaler{}, &messaging.Message{ID: "x", Time: sent, TTL: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	raw := arrive(p)
	c := takeControl(&raw)
	if c.ttl != 10*time.Second || c.expires.Sub(sent).Round(time.Second) != 10*time.Second {
		t.Fatalf("ttl %s, expires %s after it was sent", c.ttl, c.expires.Sub(sent))
	}
	if c.expired(&raw, sent.Add(time.Hour)) {
		t.Error("the broker judges what it still has the expiration of; clocks may differ")
	}
	again := arrive(retryCopy(&raw, &c, 1, sent.Add(4*time.Second)))
	if left := msOf(again.Expiration); left < 5*time.Second || left > 6001*time.Millisecond {
		t.Errorf("after 4 s the copy has %s left", left)
	}
	if c2 := takeControl(&again); c2.ttl != c.ttl || !c2.expires.Equal(c.expires) {
		t.Errorf("the copy says %+v, the original %+v", c2, c)
	}
	waits := arrive(delayed(retryCopy(&raw, &c, 1, sent), "q", time.Second).publishing)
	if waits.Expiration != "" {
		t.Error("an expiration in the wait queues would end the wait")
	}
	c3 := takeControl(&waits)
	if c3.ttl != c.ttl || c3.expired(&waits, c.expires.Add(-time.Millisecond)) || !c3.expired(&waits, c.expires) {
		t.Errorf("after a wait: %+v", c3)
	}
}

func TestTakeControlOfNonsense(t *testing.T) {
	for _, v := range []any{nil, "", "x", "-1", "99999999999999999999", int64(-5), amqp.Table{}, []byte{0xff}} {
		raw := amqp.Delivery{Expiration: "soon", Headers: amqp.Table{
			headerFailures: v, headerExpires: v, headerTTL: v, headerUserID: v, "mine": "kept"}}
		c := takeControl(&raw)
		if c.failures < 0 || c.ttl < 0 || c.expired(&raw, time.Now()) {
			t.Errorf("%T %v: %+v", v, v, c)
		}
		if len(raw.Headers) != 1 {
			t.Errorf("%T %v: headers %v", v, v, raw.Headers)
		}
	}
}

func TestDeadCopy(t *testing.T) {
	raw := odd()
	raw.Expiration = "1000"
	takeControl(&raw)
	p := deadCopy(&job{raw: raw, control: control{failures: 2}}, messaging.Queue("q"), messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonAttempts, Err: errors.New("no")}, frameSize)
	if p.Expiration != "" || p.Headers[headerExpires] != nil || p.Headers[headerFailures] != nil {
		t.Errorf("a dead letter expires or has attempts: %+v", p)
	}
	for key, want := range map[string]any{
		messaging.HeaderDeadReason: "attempts", messaging.HeaderDeadError: "no", messaging.HeaderDeadAttempts: "3", messaging.HeaderDeadFrom: "queue:q",
		"int": int64(5), "byte": byte(1),
	} {
		if p.Headers[key] != want {
			t.Errorf("header %s is %v, want %v", key, p.Headers[key], want)
		}
	}
}
