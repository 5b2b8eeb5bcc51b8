package watermill_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/delay"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/pkg/messaging"
)

// onMemory is a memory broker with queue q, as a Watermill Pub/Sub.
func onMemory(t *testing.T, opts ...watermill.SubscriberOption) (*memory.Broker, *watermill.Publisher, *watermill.Subscriber) {
	t.Helper()
	b := memory.New(memory.WithLogger(quiet))
	pub := watermill.NewPublisher(b)
	sub := watermill.NewSubscriber(b, append(opts, watermill.WithLog(quiet))...)
	if err := sub.SubscribeInitialize("q"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(pub.Close(), sub.Close(), b.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return b, pub, sub
}

func publish(t *testing.T, pub message.Publisher, messages ...*message.Message) {
	t.Helper()
	if err := pub.Publish("q", messages...); err != nil {
		t.Fatal(err)
	}
}

func subscribe(ctx context.Context, t *testing.T, sub message.Subscriber) <-chan *message.Message {
	t.Helper()
	messages, err := sub.Subscribe(ctx, "q")
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func expectClosed(t *testing.T, messages <-chan *message.Message) {
	t.Helper()
	if m, open := <-messages; open {
		t.Errorf("the channel is not closed: it has %q", m.Payload)
	}
}

// inQueue counts what is ready in q.
func inQueue(t *testing.T, b *memory.Broker) int {
	t.Helper()
	info, err := b.Inspect(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return info.Ready
}

// TestIntact: what a Watermill publisher sends is what a Watermill subscriber
// gets, exactly.
func TestIntact(t *testing.T) {
	t.Parallel()
	_, pub, sub := onMemory(t)
	sent := message.NewMessage("id-1", []byte("\x00\xff body"))
	for key, value := range map[string]string{
		"plain": "1", "empty": "", "CC": "x", "x-death": "y", "_watermill_message_uuid": "z", "correlation_id": "c",
		watermill.MetadataType: "order.placed", watermill.MetadataCorrelationID: "c-1", watermill.MetadataKey: "a.b",
		watermill.MetadataReplyTo: "answers", watermill.MetadataContentType: "text/plain",
	} {
		sent.Metadata.Set(key, value)
	}
	publish(t, pub, sent)
	got := <-subscribe(t.Context(), t, sub)
	defer got.Ack()
	if !sent.Equals(got) {
		t.Errorf("sent %s %v %q\ngot %s %v %q", sent.UUID, sent.Metadata, sent.Payload, got.UUID, got.Metadata, got.Payload)
	}
	d, ok := watermill.DeliveryFromContext(got.Context())
	if !ok || d.Attempt != 1 || d.From != q || d.Type != "order.placed" || d.Time.IsZero() {
		t.Errorf("DeliveryFromContext: %+v", d)
	}
	if _, ok := watermill.DeliveryFromContext(context.Background()); ok {
		t.Error("DeliveryFromContext of any context says true")
	}
}

func TestUnroutable(t *testing.T) {
	t.Parallel()
	_, pub, _ := onMemory(t)
	err := pub.Publish("nowhere", message.NewMessage("1", nil))
	if !errors.Is(err, messaging.ErrUnroutable) {
		t.Errorf("got %v", err)
	}
	if err := pub.Publish("nowhere"); err != nil {
		t.Errorf("no messages: %v", err)
	}
}

// TestDelayComponent: what Watermill's delay component notes is kept, once.
func TestDelayComponent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, pub, sub := onMemory(t)
		m := message.NewMessage("1", nil)
		delay.Message(m, delay.For(time.Hour))
		start := time.Now()
		publish(t, pub, m)
		messages := subscribe(t.Context(), t, sub)
		got := <-messages
		if took := time.Since(start); took != time.Hour {
			t.Errorf("an hour's delay took %s", took)
		}
		time.Sleep(2 * time.Second)
		publish(t, pub, got.Copy())
		got.Ack()
		again := time.Now()
		next := <-messages
		next.Ack()
		if took := time.Since(again); took > time.Second {
			t.Errorf("passed on, it was delayed again for %s", took)
		}
		sub.Close()
	})
}

func TestPublishEndsWithAnyContext(t *testing.T) {
	t.Parallel()
	b, pub, _ := onMemory(t)
	b.Disconnect()
	defer b.Reconnect()
	first, second := message.NewMessage("1", nil), message.NewMessage("2", nil)
	ctx, cancel := context.WithCancel(context.Background())
	second.SetContext(ctx)
	result := make(chan error)
	go func() { result <- pub.Publish("q", first, second) }()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNack(t *testing.T) {
	t.Parallel()
	_, pub, sub := onMemory(t)
	publish(t, pub, message.NewMessage("1", nil))
	messages := subscribe(t.Context(), t, sub)
	first := <-messages
	first.Nack()
	<-first.Context().Done()
	second := <-messages
	if d, _ := watermill.DeliveryFromContext(second.Context()); !d.Redelivered || d.Attempt != 1 {
		t.Errorf("after Nack: Attempt %d, Redelivered %t", d.Attempt, d.Redelivered)
	}
	second.Ack()
}

// TestWithNack: with a verdict of an ordinary error, Nack counts.
func TestWithNack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, pub, sub := onMemory(t, watermill.WithNack(errors.New("nacked")))
		publish(t, pub, message.NewMessage("1", nil))
		messages := subscribe(t.Context(), t, sub)
		for attempt := 1; attempt <= messaging.DefaultMaxAttempts; attempt++ {
			m := <-messages
			if d, _ := watermill.DeliveryFromContext(m.Context()); d.Attempt != attempt {
				t.Errorf("attempt %d has Attempt %d", attempt, d.Attempt)
			}
			m.Nack()
		}
		p, err := waitForDead(t, b)
		if err != nil || p.Headers[messaging.HeaderDeadError] != "nacked" {
			t.Fatalf("dead letter: %v, %v", p, err)
		}
		if err := p.Settle(nil); err != nil {
			t.Error(err)
		}
		sub.Close()
	})
}

func waitForDead(t *testing.T, b *memory.Broker) (*messaging.Pending, error) {
	t.Helper()
	synctest.Wait()
	return b.Get(t.Context(), messaging.Source{Address: messaging.Queue("q.dead")})
}

// TestCancelWhileUnread is defect g of watermill-amqp, where a subscription
// leaks for ever when its context ends while a message waits to be read. That
// nothing leaks is goleak's to say, at the end of the package.
func TestCancelWhileUnread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, pub, sub := onMemory(t)
		publish(t, pub, message.NewMessage("1", nil), message.NewMessage("2", nil))
		ctx, cancel := context.WithCancel(t.Context())
		messages := subscribe(ctx, t, sub)
		synctest.Wait() // a message waits to be read
		start := time.Now()
		cancel()
		synctest.Wait()
		expectClosed(t, messages)
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s", took)
		}
		if n := inQueue(t, b); n != 2 {
			t.Errorf("%d of 2 messages are back", n)
		}
	})
}

// TestCloseWhileHandling is defect h of watermill-amqp, which handles a message
// twice when it is closed meanwhile.
func TestCloseWhileHandling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, pub, sub := onMemory(t)
		publish(t, pub, message.NewMessage("1", nil), message.NewMessage("2", nil))
		messages := subscribe(t.Context(), t, sub)
		m := <-messages
		closed := make(chan error)
		go func() { closed <- sub.Close() }()
		time.Sleep(10 * time.Second) // of the bubble's time, while it is handled
		if err := m.Context().Err(); err != nil {
			t.Errorf("Close ended the context of a message that is being handled: %v", err)
		}
		if !m.Ack() {
			t.Error("Ack is false")
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		expectClosed(t, messages)
		if n := inQueue(t, b); n != 1 {
			t.Errorf("%d messages are in the queue; one of two was acknowledged", n)
		}
	})
}

// TestCloseWithoutAnswer: a message that is never answered goes back after
// ShutdownTimeout.
func TestCloseWithoutAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, pub, sub := onMemory(t)
		publish(t, pub, message.NewMessage("1", nil))
		m := <-subscribe(t.Context(), t, sub)
		start := time.Now()
		if err := sub.Close(); err != nil {
			t.Errorf("what Watermill calls no error: %v", err)
		}
		if took := time.Since(start); took != messaging.DefaultShutdownTimeout {
			t.Errorf("Close took %s", took)
		}
		if m.Context().Err() == nil {
			t.Error("the message's context has not ended")
		}
		if n := inQueue(t, b); n != 1 {
			t.Errorf("%d messages are in the queue", n)
		}
	})
}

func TestClosed(t *testing.T) {
	t.Parallel()
	b, pub, sub := onMemory(t)
	for range 2 {
		if err := errors.Join(pub.Close(), sub.Close()); err != nil {
			t.Error(err)
		}
	}
	_, subscribeErr := sub.Subscribe(t.Context(), "q")
	for name, err := range map[string]error{
		"Publish":             pub.Publish("q", message.NewMessage("1", nil)),
		"Subscribe":           subscribeErr,
		"SubscribeInitialize": sub.SubscribeInitialize("q"),
	} {
		if !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h := b.Health(); h.State != messaging.Connected {
		t.Errorf("the Broker was closed by who has not opened it: %s", h)
	}
}

func TestSubscribeErrors(t *testing.T) {
	t.Parallel()
	b, _, sub := onMemory(t)
	if _, err := sub.Subscribe(t.Context(), ""); err == nil {
		t.Error("an empty topic is no error")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	expectClosed(t, subscribe(ended, t, sub))
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: "limited", MaxLength: 1}); err != nil {
		t.Fatal(err)
	}
	if err := sub.SubscribeInitialize("limited"); err != nil {
		t.Errorf("a queue that exists, with other properties: %v", err)
	}
	bare := watermill.NewSubscriber(struct{ messaging.Subscriber }{b})
	defer bare.Close()
	if err := bare.SubscribeInitialize("q"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a Manager: %v", err)
	}
}
