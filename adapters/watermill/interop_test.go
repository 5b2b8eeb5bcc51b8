package watermill_test

import (
	"errors"
	"testing"
	"time"

	wm "github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// stock opens watermill-amqp as a Watermill service has it.
func stock(t *testing.T, url string) (*wamqp.Publisher, *wamqp.Subscriber) {
	t.Helper()
	config := wamqp.NewDurableQueueConfig(url)
	config.Queue.Arguments = map[string]any{"x-queue-type": "quorum"} // as Declare has it
	pub, err := wamqp.NewPublisher(config, wm.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := wamqp.NewSubscriber(config, wm.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(pub.Close(), sub.Close()); err != nil {
			t.Error(err)
		}
	})
	return pub, sub
}

// newQueue is a queue that all of a test's clients use.
func newQueue(t *testing.T, b messaging.Broker) messaging.Address {
	t.Helper()
	name := "interop." + messaging.NewID()
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: name}); err != nil {
		t.Fatal(err)
	}
	return messaging.Queue(name)
}

func foreign() *message.Message {
	m := message.NewMessage(wm.NewUUID(), []byte("\x00\xff payload"))
	m.Metadata = message.Metadata{"correlation_id": "c", "empty": "", "名": "值"}
	return m
}

// TestStockToWarren: a Watermill service sends, a warren service receives.
func TestStockToWarren(t *testing.T) {
	t.Parallel()
	url := rabbitmqtest.URL(t)
	b := openRabbitMQ(t, url)
	pub, _ := stock(t, url)
	from := newQueue(t, b)
	sent := foreign()
	if err := pub.Publish(from.Name(), sent); err != nil {
		t.Fatal(err)
	}
	for p, err := range messaging.Messages(t.Context(), b, messaging.Source{Address: from}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if p.ID != sent.UUID || string(p.Body) != string(sent.Payload) || !sameMetadata(p.Headers, sent.Metadata) {
			t.Errorf("sent %s %v, got %+v", sent.UUID, sent.Metadata, p.Message)
		}
		if err := p.Settle(nil); err != nil {
			t.Error(err)
		}
		return
	}
}

func sameMetadata(got, want map[string]string) bool {
	for key, value := range want {
		if had, ok := got[key]; !ok || had != value {
			return false
		}
	}
	return len(got) == len(want)
}

// TestWarrenToStock: a warren service sends, a Watermill service receives; and
// what the Watermill service passes on comes back as it was sent. AMQP's own
// properties, such as the type, are not for watermill-amqp's DefaultMarshaler.
func TestWarrenToStock(t *testing.T) {
	t.Parallel()
	url := rabbitmqtest.URL(t)
	b := openRabbitMQ(t, url)
	pub, sub := stock(t, url)
	to, back := newQueue(t, b), newQueue(t, b)
	sent := &messaging.Message{
		TTL: time.Hour, Headers: map[string]string{"mine": "kept", "CC": "escaped"}, Body: []byte("\x00\xff body"),
	}
	if err := b.Publish(t.Context(), to, sent); err != nil {
		t.Fatal(err)
	}
	messages, err := sub.Subscribe(t.Context(), to.Name())
	if err != nil {
		t.Fatal(err)
	}
	got := <-messages
	if got.UUID != sent.ID || string(got.Payload) != string(sent.Body) || got.Metadata["mine"] != "kept" {
		t.Errorf("sent %+v, got %s %v %q", sent, got.UUID, got.Metadata, got.Payload)
	}
	if err := pub.Publish(back.Name(), got.Copy()); err != nil {
		t.Fatal(err)
	}
	got.Ack()
	expectMessage(t, b, back, sent)
}

// TestBrokerToWarren: a Broker over stock watermill-amqp and one of the RabbitMQ
// adapter understand each other, attempts and times to live included. The way
// back is without AMQP's own properties, as in TestWarrenToStock.
func TestBrokerToWarren(t *testing.T) {
	t.Parallel()
	url := rabbitmqtest.URL(t)
	b := openRabbitMQ(t, url)
	pub, sub := stock(t, url)
	over := watermill.NewBroker(pub, sub, watermill.WithLogger(quiet))
	t.Cleanup(func() { closeBroker(t, over) })
	there, back := newQueue(t, b), newQueue(t, b)
	sent := &messaging.Message{
		Type: "order.placed", ContentType: "text/plain", CorrelationID: "c-1", ReplyTo: "answers", TTL: time.Hour,
		Headers: map[string]string{"mine": "kept", "CC": "escaped", "x-warren-failures": "mine too"}, Body: []byte("body"),
	}
	if err := over.Publish(t.Context(), there, sent); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, b, there, sent)
	sent.Type, sent.ContentType, sent.CorrelationID, sent.ReplyTo = "", "", "", ""
	if err := b.Publish(t.Context(), back, sent); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, over, back, sent)

	if err := over.Publish(t.Context(), there, sent); err != nil {
		t.Fatal(err)
	}
	first := get(t, over, there)
	if err := first.Settle(messaging.RetryAfter(0, errors.New("not here"))); err != nil {
		t.Fatal(err)
	}
	second := get(t, b, there)
	defer second.Settle(nil)
	if second.Attempt != 2 || second.TTL != time.Hour {
		t.Errorf("after a failure over watermill-amqp, the RabbitMQ adapter has Attempt %d and a TTL of %s", second.Attempt, second.TTL)
	}
}

// get waits for a message, which takes its time to come back.
func get(t *testing.T, b messaging.Broker, from messaging.Address) *messaging.Pending {
	t.Helper()
	for t.Context().Err() == nil {
		p, err := messaging.Get(t.Context(), b, messaging.Source{Address: from})
		if err == nil {
			return p
		}
		if !errors.Is(err, messaging.ErrEmpty) {
			t.Fatal(err)
		}
	}
	return nil
}

func expectMessage(t *testing.T, b messaging.Broker, from messaging.Address, sent *messaging.Message) {
	t.Helper()
	p := get(t, b, from)
	got := p.Message
	if got.ID != sent.ID || got.Type != sent.Type || got.ContentType != sent.ContentType || got.ReplyTo != sent.ReplyTo ||
		got.CorrelationID != sent.CorrelationID || !got.Time.Equal(sent.Time) || string(got.Body) != string(sent.Body) ||
		got.TTL != sent.TTL || !sameMetadata(got.Headers, sent.Headers) {
		t.Errorf("sent\n%+v\ngot\n%+v", *sent, got)
	}
	if err := p.Settle(nil); err != nil {
		t.Error(err)
	}
}
