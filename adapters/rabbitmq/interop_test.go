package rabbitmq

import (
	"maps"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/internal/metadata"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestStockWatermillReads: a stock watermill-amqp subscriber on the same queue
// understands what we publish, also after a retry without a wait has left its
// headers in it. (A wait leaves the broker's x-death, which is no string.)
func TestStockWatermillReads(t *testing.T) {
	b := open(t)
	q := declare(t, b, func(s *messaging.QueueSpec) { s.Transient = true })
	publish(t, b, q, &messaging.Message{
		ID: "id-1", Type: "t", ContentType: "text/plain", Headers: map[string]string{"mine": "kept"}, Body: []byte("hello")})
	tried := make(chan messaging.Delivery, 10)
	src := messaging.Source{Address: q, ShutdownTimeout: 1}
	sub := subscribe(t, b, src, failOnce(tried))
	next(t, tried, "the first attempt")
	next(t, tried, "the second attempt")
	_ = sub.stop() // puts it back, with the count of its failures

	conf := wamqp.NewNonDurableQueueConfig(rabbitmqtest.URL(t))
	conf.Queue.Arguments = queueConfig(messaging.QueueSpec{Transient: true}, queueTypeQuorum, 0).Queue.Arguments
	stock, err := wamqp.NewSubscriber(conf, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer stock.Close()
	messages, err := stock.Subscribe(t.Context(), q.Name())
	if err != nil {
		t.Fatal(err)
	}
	m := next(t, messages, "the message")
	m.Ack()
	if m.UUID != "id-1" || string(m.Payload) != "hello" || m.Metadata["mine"] != "kept" {
		t.Errorf("%s %q %v", m.UUID, m.Payload, m.Metadata)
	}
	for key := range m.Metadata {
		if key != "mine" && !metadata.Meaningful(key) {
			t.Errorf("metadata %s is in nobody's name space", key)
		}
	}
}

// TestStockWatermillWrites: what a stock watermill-amqp publisher sends, to a
// queue that it has declared, is received as it is.
func TestStockWatermillWrites(t *testing.T) {
	b := open(t)
	queue := t.Name() + messaging.NewID()
	conf := wamqp.NewDurableQueueConfig(rabbitmqtest.URL(t))
	stock, err := wamqp.NewSubscriber(conf, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer stock.Close()
	if err := stock.SubscribeInitialize(queue); err != nil {
		t.Fatal(err)
	}
	publisher, err := wamqp.NewPublisher(conf, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	m := message.NewMessage("u-1", []byte("hello"))
	m.Metadata = message.Metadata{"k": "v", "correlation_id": "c"}
	if err := publisher.Publish(queue, m); err != nil {
		t.Fatal(err)
	}
	got := make(chan messaging.Delivery, 1)
	subscribe(t, b, messaging.Source{Address: messaging.Queue(queue)}, collect(got))
	d := next(t, got, "the message")
	if d.ID != "u-1" || string(d.Body) != "hello" || !maps.Equal(d.Headers, m.Metadata) || d.Attempt != 1 {
		t.Errorf("%+v", d)
	}
}
