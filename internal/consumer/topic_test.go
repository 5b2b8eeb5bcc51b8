package consumer

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

// publishTo sends a text to a topic under each of the keys.
func publishTo(t *testing.T, broker messaging.Broker, topic, text string, keys ...string) {
	t.Helper()
	msgs := make([]*messaging.Message, len(keys))
	for i, key := range keys {
		msgs[i] = &messaging.Message{Key: key, Body: []byte(text)}
	}
	if err := broker.Publish(clitest.Context(t), messaging.Topic(topic), msgs...); err != nil {
		t.Fatal(err)
	}
}

// Without a group, everybody gets everything that is sent meanwhile.
func TestPrivateSubscriptions(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
		topic := clitest.Topic(t, broker)
		var both [2]*running
		for i := range both {
			both[i] = start(t, broker, Options{Topic: topic})
			both[i].Await(t, waiting, 1)
		}
		publishTo(t, broker, topic, "text", "order.eu", "")
		for _, r := range both {
			r.Await(t, " [x] Received 'text' (key 'order.eu')\n [x] Received 'text'\n", 1)
			r.stop()
			if sum := r.wait(t); sum != (Summary{Received: 2, Acknowledged: 2}) {
				t.Errorf("summary is %+v", sum)
			}
		}
	})
}

func TestConsumersOfAGroupShare(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
		topic := clitest.Topic(t, broker, "g")
		var out clitest.Screen
		var both [2]*running
		for i := range both {
			both[i] = start(t, broker, Options{Topic: topic, Group: "g", Handled: func(d *messaging.Delivery, _ error) {
				_, _ = out.Write([]byte("handled " + d.Key + "\n"))
			}})
			both[i].Await(t, waiting, 1)
		}
		publishTo(t, broker, topic, "text", "1", "2", "3", "4", "5", "6")
		out.Await(t, "handled ", 6)
		both[0].stop()
		both[1].stop()
		if a, b := both[0].wait(t), both[1].wait(t); a.Received+b.Received != 6 || a.Acknowledged+b.Acknowledged != 6 {
			t.Errorf("they received %+v and %+v, want six together", a, b)
		}
	})
}

// A group is there once somebody has consumed for it, and keeps messages.
func TestGroupKeepsMessages(t *testing.T) {
	for _, mode := range []Mode{Get, Iterate, Consume} {
		t.Run(string(mode), func(t *testing.T) {
			clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
				topic := clitest.Topic(t, broker, "g")
				opts := Options{Topic: topic, Group: "g", Mode: mode}
				if mode != Get {
					opts.InactivityTimeout = 500 * time.Millisecond
				}
				if sum := start(t, broker, opts).wait(t); sum.Received != 0 {
					t.Errorf("received %d before anything was sent", sum.Received)
				}
				publishTo(t, broker, topic, "text", "k")
				r := start(t, broker, opts)
				if sum := r.wait(t); sum != (Summary{Received: 1, Acknowledged: 1}) {
					t.Errorf("summary is %+v", sum)
				}
				if !strings.Contains(r.String(), " [x] Received 'text' (key 'k')\n") {
					t.Errorf("output is %q", r)
				}
			})
		})
	}
}

func TestNoMessageForAGroup(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
		topic := clitest.Topic(t, broker, "g")
		r := start(t, broker, Options{Topic: topic, Group: "g", Mode: Get})
		r.wait(t)
		if want := " [*] No message in queue '" + topic + ".g'\n"; r.String() != want {
			t.Errorf("output is %q, want %q", r, want)
		}
	})
}

func TestKeys(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
		topic := clitest.Topic(t, broker)
		r := start(t, broker, Options{Topic: topic, Keys: []string{"order.*.placed", "refund.#"}})
		r.Await(t, waiting, 1)
		publishTo(t, broker, topic, "x", "order.eu.placed", "order.eu.de.placed", "order.eu", "refund", "", "refund.a.b")
		r.Await(t, "(key 'refund.a.b')", 1)
		r.stop()
		r.wait(t)
		want := " [x] Received 'x' (key 'order.eu.placed')\n [x] Received 'x' (key 'refund')\n [x] Received 'x' (key 'refund.a.b')\n"
		if !strings.Contains(r.String(), want) {
			t.Errorf("output is %q, want %q", r, want)
		}
	})
}

func TestRetryAndDeadLetterOfAGroup(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, _ string) {
		topic := clitest.Topic(t, broker, "g", "other")
		other := messaging.Source{Address: messaging.Topic(topic), Group: "other"}
		if err := broker.Bind(clitest.Context(t), other); err != nil {
			t.Fatal(err)
		}
		r := start(t, broker, Options{Topic: topic, Group: "g", FailOn: "bad", Retry: messaging.Retry{
			MaxAttempts: 2, Min: 50 * time.Millisecond, Max: 50 * time.Millisecond,
		}})
		r.Await(t, waiting, 1)
		publishTo(t, broker, topic, "bad", "k")
		d := clitest.Receive(t, broker, topic+".g.dead", 1)[0]
		if string(d.Body) != "bad" || d.Headers[messaging.HeaderDeadFrom] != "queue:"+topic+".g" {
			t.Errorf("the dead letter is %+v", d)
		}
		r.Await(t, " [x] Received 'bad' (key 'k') (attempt 2)\n", 1)
		r.stop()
		r.wait(t)
		if d := clitest.ReceiveFrom(t, broker, other, 1)[0]; d.Attempt != 1 {
			t.Errorf("the other group's copy is at attempt %d", d.Attempt)
		}
	})
}

func TestBadTopicOptions(t *testing.T) {
	long := strings.Repeat("x", 256)
	keys := func(patterns ...string) Options { return Options{Topic: "t", Keys: patterns} }
	for _, test := range []struct {
		opts Options
		says []string
	}{
		{Options{Topic: "t", Queue: "q"}, []string{"--topic", "--queue"}},
		{Options{Topic: "t", Declare: cli.DeclareNever}, []string{"--topic", "--declare"}},
		{Options{Topic: long}, []string{"--topic", "255"}},
		{Options{Group: "g"}, []string{"--group", "--topic"}},
		{Options{Queue: "q", Group: "g"}, []string{"--group", "--topic"}},
		{Options{Queue: "q", Keys: []string{"k"}}, []string{"--key", "--topic"}},
		{Options{Topic: "t", Group: "a\nb"}, []string{"--group"}},
		{Options{Topic: "t", Group: long}, []string{"--group", "255"}},
		{Options{Topic: long[:200], Group: long[:100]}, []string{"--group", "255"}},
		{keys("a..b"), []string{"--key", `"a..b"`, "empty word"}},
		{keys("ok", ""), []string{"--key", "empty word"}},
		{keys("order*"), []string{"--key", `"order*"`, "whole words"}},
		{keys(long), []string{"--key", "255"}},
		{Options{Topic: "t", Mode: Get}, []string{"--mode get", "--group"}},
		{Options{Topic: "t", Group: "g", Retry: messaging.Retry{DeadLetter: messaging.Queue("t.g")}}, []string{"--dead-letter", "t.g"}},
	} {
		_, err := Run(context.Background(), nil, test.opts, io.Discard) // no broker: it must not be asked
		if usage := (*cli.UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%+v: error is %v, want a usage error", test.opts, err)
			continue
		}
		for _, text := range test.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%+v: the error does not say %q: %v", test.opts, text, err)
			}
		}
		if strings.Contains(err.Error(), "Source.") {
			t.Errorf("%+v: the error names a field rather than a flag: %v", test.opts, err)
		}
	}
}
