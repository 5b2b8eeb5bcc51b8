//go:build !race

package watermill_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// TestUniversalReconnect is the case of Watermill's suite that restarts the
// broker twice under 100 publishers. It has a data race of its own (in its list
// of what was published), so this file is left out of a build with -race: there
// TestUniversalReconnectWithoutRace runs it.
func TestUniversalReconnect(t *testing.T) {
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	var restarts sync.WaitGroup
	restarts.Add(2)
	restarter := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		defer restarts.Done()
		if err := node.Restart(context.Background()); err != nil {
			t.Error(err)
		}
	}))
	defer restarter.Close()

	f := features()
	f.RestartServiceCommand = []string{"env", envRestart + "=" + restarter.URL, os.Args[0]}
	tests.TestReconnect(t, tests.TestContext{TestID: tests.NewTestID(), Features: f},
		func(t *testing.T) (message.Publisher, message.Subscriber) {
			pub, sub := pubSub(openRabbitMQ(t, node.URL()), queueSource)
			return withholding(pub, sub)
		})
	restarts.Wait()
}

// withholding makes the suite judge when it knows what it has published. It
// notes a message some time after Publish has returned, and calls one that
// arrives before that extra: so the last one is held back for a while.
func withholding(pub message.Publisher, sub message.Subscriber) (message.Publisher, message.Subscriber) {
	const messages, sometime = 10_000, 200 * time.Millisecond
	var published sync.WaitGroup
	published.Add(messages)
	return countingPublisher{pub, &published}, lastHeldBack{sub, messages, func() {
		published.Wait()
		time.Sleep(sometime) // the suite has no event for it
	}}
}

type countingPublisher struct {
	message.Publisher
	published *sync.WaitGroup
}

func (p countingPublisher) Publish(topic string, messages ...*message.Message) error {
	err := p.Publisher.Publish(topic, messages...)
	if err == nil {
		p.published.Add(-len(messages))
	}
	return err
}

type lastHeldBack struct {
	message.Subscriber
	messages int
	wait     func()
}

func (s lastHeldBack) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		seen := map[string]bool{}
		for m := range in {
			isNew := !seen[m.UUID]
			seen[m.UUID] = true
			if isNew && len(seen) == s.messages {
				s.wait()
			}
			select {
			case out <- m:
			case <-m.Context().Done():
			}
		}
	}()
	return out, nil
}
