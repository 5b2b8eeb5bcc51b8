package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }

func TestDemo(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		var out bytes.Buffer
		d := demo{queue: queue, workers: 2, work: time.Millisecond, cleanUp: true}
		if err := d.run(clitest.Context(t), broker, &out); err != nil {
			t.Fatal(err)
		}
		for _, text := range handful {
			for _, what := range []string{"Sent", "Received"} {
				if n := strings.Count(out.String(), " [x] "+what+" '"+text+"'"); n != 1 {
					t.Errorf("%s %q is to be read %d times", what, text, n)
				}
			}
		}
		for _, text := range []string{"(worker 1)", "(worker 2)", " [x] Done", "acknowledged 6, failed 0"} {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%q is missing", text)
			}
		}
		if t.Failed() {
			t.Log(out.String())
		}
		for _, q := range []string{queue, queue + ".dead"} {
			if _, err := broker.Inspect(clitest.Context(t), messaging.Queue(q)); !errors.Is(err, messaging.ErrNotFound) {
				t.Errorf("queue %s is still there: %v", q, err)
			}
		}
	})
}

func TestDemoInterrupted(t *testing.T) {
	broker := clitest.Open(t, "memory://")
	ctx, cancel := context.WithCancel(t.Context())
	screen := &clitest.Screen{}
	ended := make(chan error, 1)
	d := demo{queue: "hello", workers: 1, work: time.Millisecond, texts: []string{"a.", "b" + strings.Repeat(".", 100), "c"}}
	go func() { ended <- d.run(ctx, broker, screen) }()
	screen.Await(t, " [x] Received 'b", 1)
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "interrupted after 2 of 3 messages") {
		t.Errorf("error is %v", err)
	}
}

func TestDemoBadInput(t *testing.T) {
	for _, d := range []demo{
		{queue: "a\nb"},
		{queue: "hello", workers: -1},
		{queue: "hello", work: -1},
		{queue: "hello", texts: []string{"-"}},
	} {
		if err, usage := d.validate(), (*cli.UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%+v: error is %v, want a usage error", d, err)
		}
	}
}

func TestOwnQueue(t *testing.T) {
	if name, cleanUp := ownQueue("memory://"); name != "hello" || cleanUp {
		t.Errorf("in memory it is %s, to be deleted: %t", name, cleanUp)
	}
	one, cleanUp := ownQueue("amqp://localhost/")
	two, _ := ownQueue("amqp://localhost/")
	if one == two || one == "hello" || !cleanUp {
		t.Errorf("elsewhere it is %s and %s, to be deleted: %t", one, two, cleanUp)
	}
}
