package producer

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestTopic(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
		topic := clitest.Topic(t, broker, "all", "europe")
		all := messaging.Source{Address: messaging.Topic(topic), Group: "all"}
		europe := messaging.Source{Address: messaging.Topic(topic), Group: "europe", Keys: []string{"*.eu.#"}}
		for _, src := range []messaging.Source{all, europe} {
			if err := broker.Bind(clitest.Context(t), src); err != nil {
				t.Fatal(err)
			}
		}
		send(t, broker, Options{Topic: topic, Key: "order.us.placed", Args: []string{"a"}}, "")
		send(t, broker, Options{Topic: topic, Args: []string{"no key"}}, "")
		sum, out := send(t, broker, Options{Topic: topic, Key: "order.eu.placed", Args: []string{"b"}}, "")
		if sum.Sent != 1 || out != " [x] Sent 'b'\n" {
			t.Errorf("summary is %+v, output %q", sum, out)
		}
		if got := bodies(clitest.ReceiveFrom(t, broker, all, 3)); got != "a|no key|b" {
			t.Errorf("all received %q", got)
		}
		if d := clitest.ReceiveFrom(t, broker, europe, 1)[0]; string(d.Body) != "b" || d.Key != "order.eu.placed" {
			t.Errorf("europe received %+v", d)
		}
	})
}

// It is no error, and no queue comes to be.
func TestTopicThatNobodyIsBoundTo(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
		topic := clitest.Topic(t, broker)
		if sum, _ := send(t, broker, Options{Topic: topic, Key: "k", Count: 3}, ""); sum.Sent != 3 {
			t.Errorf("summary is %+v", sum)
		}
		_, err := broker.Inspect(clitest.Context(t), messaging.Queue(topic))
		if !errors.Is(err, messaging.ErrNotFound) {
			t.Errorf("a queue of its name: %v", err)
		}
	})
}

func TestDelayAndTTL(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		const delay = 300 * time.Millisecond
		started := time.Now()
		send(t, broker, Options{Queue: queue, Delay: delay, TTL: time.Hour}, "")
		d := clitest.Receive(t, broker, queue, 1)[0]
		if took := time.Since(started); took < delay {
			t.Errorf("received after %s, want no sooner than %s", took, delay)
		}
		if d.TTL <= 0 || d.TTL > time.Hour {
			t.Errorf("its TTL is %s, want an hour", d.TTL)
		}
	})
}

func TestBadOptionsForMessages(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		opts Options
		says []string
	}{
		{Options{Topic: "t", Queue: "q"}, []string{"--topic", "--queue"}},
		{Options{Topic: "t", Declare: cli.DeclareMissing}, []string{"--topic", "--declare"}},
		{Options{Topic: long}, []string{"--topic", "255"}},
		{Options{Topic: "a\x00"}, []string{"--topic"}},
		{Options{Key: "k"}, []string{"--key", "--topic"}},
		{Options{Key: "k", Queue: "q"}, []string{"--key", "--topic"}},
		{Options{Topic: "t", Key: long}, []string{"--key", "255"}},
		{Options{Delay: -1}, []string{"--delay"}},
		{Options{Delay: messaging.MaxDelay + 1}, []string{"--delay", "720h"}},
		{Options{TTL: -1}, []string{"--ttl"}},
		{Options{TTL: messaging.MaxTTL + 1}, []string{"--ttl"}},
	} {
		_, err := Run(context.Background(), nil, test.opts, nil, io.Discard) // no broker: it must not be asked
		if usage := (*cli.UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%+v: error is %v, want a usage error", test.opts, err)
			continue
		}
		for _, text := range test.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%+v: the error does not say %q: %v", test.opts, text, err)
			}
		}
	}
}
