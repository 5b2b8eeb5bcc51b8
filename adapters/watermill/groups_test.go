package watermill_test

import (
	"context"
	"errors"
	"testing"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"

	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// byName takes topics as well as queues.
func byName(a messaging.Address) (string, error) { return a.Name(), nil }

// TestGroupsAreConfigured: one Broker for each group, because watermill-amqp
// has the group in its Config. Two members of a group share one copy.
func TestGroupsAreConfigured(t *testing.T) {
	url := rabbitmqtest.URL(t)
	group := func(name string) *watermill.Broker {
		config := wamqp.NewDurablePubSubConfig(url, wamqp.GenerateQueueNameTopicNameWithSuffix(name))
		config.Publish.ConfirmDelivery = true
		b, err := brokerOf(config, watermill.WithTopic(byName))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { mustClose(t, b) })
		return b
	}
	orders := messaging.Topic("orders." + messaging.NewID())
	got, ended := make(chan string, 10), make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	members := []string{"billing", "billing", "shipping"}
	for _, name := range members {
		b, ready := group(name), make(chan struct{})
		go func() {
			ended <- b.Subscribe(ctx, messaging.Source{Address: orders, Ready: func() { close(ready) }},
				func(_ context.Context, d *messaging.Delivery) error { got <- name; return nil })
		}()
		<-ready
	}
	if err := group("nobody").Publish(ctx, orders, &messaging.Message{Body: []byte("order 1")}); err != nil {
		t.Fatal(err)
	}
	copies := map[string]int{<-got: 1}
	copies[<-got]++
	stop()
	for range members {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if len(got) > 0 || copies["billing"] != 1 || copies["shipping"] != 1 {
		t.Errorf("the groups got %v, and %d more", copies, len(got))
	}
}

// TestGroupsAreRefused: where a Source asks for what Watermill has no word for.
func TestGroupsAreRefused(t *testing.T) {
	t.Parallel()
	b := over(newFake(), watermill.WithTopic(byName))
	defer mustClose(t, b)
	for _, src := range []messaging.Source{
		{Address: messaging.Topic("t"), Group: "g"},
		{Address: messaging.Topic("t"), Keys: []string{"a.*"}},
	} {
		err := b.Subscribe(t.Context(), src, func(context.Context, *messaging.Delivery) error { return nil })
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: %v", src, err)
		}
	}
}
