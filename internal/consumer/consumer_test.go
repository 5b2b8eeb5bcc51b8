package consumer

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }

const waiting = " [*] Waiting for messages. To exit press CTRL+C\n"

// running is a Run that goes on.
type running struct {
	clitest.Screen
	stop  context.CancelFunc // as CTRL+C does
	ended chan struct{}
	sum   Summary // once ended
	err   error
}

func start(t *testing.T, broker messaging.Broker, opts Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(clitest.Context(t))
	r := &running{stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.sum, r.err = Run(ctx, broker, opts, &r.Screen)
	}()
	t.Cleanup(func() { cancel(); <-r.ended })
	return r
}

// wait waits for the end of Run.
func (r *running) wait(t *testing.T) Summary {
	t.Helper()
	<-r.ended
	if r.err != nil {
		t.Errorf("run: %v", r.err)
	}
	return r.sum
}

func publish(t *testing.T, broker messaging.Broker, queue string, texts ...string) {
	t.Helper()
	msgs := make([]*messaging.Message, len(texts))
	for i, text := range texts {
		msgs[i] = &messaging.Message{Body: []byte(text)}
	}
	if err := cli.PrepareQueue(clitest.Context(t), broker, queue, cli.DeclareMissing); err != nil {
		t.Fatal(err)
	}
	if err := broker.Publish(clitest.Context(t), messaging.Queue(queue), msgs...); err != nil {
		t.Fatal(err)
	}
}

// ready is how many messages wait in a queue.
func ready(t *testing.T, broker messaging.Broker, queue string) int {
	t.Helper()
	info, err := broker.Inspect(clitest.Context(t), messaging.Queue(queue))
	if err != nil {
		t.Fatal(err)
	}
	return info.Ready
}

func TestHelloWorld(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		r := start(t, broker, Options{Queue: queue})
		r.Await(t, waiting, 1)
		publish(t, broker, queue, "Hello World!", "訊息 2")
		r.Await(t, " [x] Received '訊息 2'\n", 1)
		r.stop()
		if sum := r.wait(t); sum != (Summary{Received: 2, Acknowledged: 2}) {
			t.Errorf("summary is %+v", sum)
		}
		want := waiting + " [x] Received 'Hello World!'\n [x] Received '訊息 2'\n" +
			" [*] Received 2, acknowledged 2, failed 0, returned to the queue 0\n"
		if got := r.String(); got != want {
			t.Errorf("output is %q, want %q", got, want)
		}
		if n := ready(t, broker, queue); n != 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// Fair dispatch: who is busy gets no more, whoever is free does.
func TestTwoConsumersShare(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		release, busy := make(chan struct{}), make(chan string, 1)
		free := sync.OnceFunc(func() { close(release) })
		named := func(name string) *running {
			r := start(t, broker, Options{Queue: queue, Handled: func(d *messaging.Delivery, _ error) {
				if string(d.Body) == "slow" {
					busy <- name
					<-release
				}
			}})
			r.Await(t, waiting, 1)
			return r
		}
		one, two := named("one"), named("two")
		t.Cleanup(free)
		publish(t, broker, queue, "slow", "1", "2", "3", "4", "5", "6", "7", "8", "9")
		if <-busy == "two" {
			one, two = two, one
		}
		two.Await(t, "'9'\n", 1)
		free()
		one.stop()
		two.stop()
		if a, b := one.wait(t), two.wait(t); a.Received != 1 || b.Received != 9 {
			t.Errorf("the busy one received %+v, the other %+v", a, b)
		}
	})
}

func TestWorkers(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		const workers = 3
		var together sync.WaitGroup // each message waits until all workers have one
		together.Add(workers)
		r := start(t, broker, Options{Queue: queue, Workers: workers, Handled: func(*messaging.Delivery, error) {
			together.Done()
			together.Wait()
		}})
		publish(t, broker, queue, "a", "b", "c")
		for _, worker := range []string{" (worker 1)\n", " (worker 2)\n", " (worker 3)\n"} {
			r.Await(t, worker, 1)
		}
		r.stop()
		if sum := r.wait(t); sum.Acknowledged != workers {
			t.Errorf("summary is %+v", sum)
		}
	})
}

// What waits behind running work goes back to the queue, and running work is
// finished.
func TestDrain(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		release := make(chan struct{})
		publish(t, broker, queue, "a", "b", "c", "d")
		r := start(t, broker, Options{Queue: queue, Prefetch: 3, Handled: func(*messaging.Delivery, error) { <-release }})
		r.Await(t, "'a'", 1)
		r.stop()
		close(release)
		if sum := r.wait(t); sum != (Summary{Received: 1, Acknowledged: 1}) {
			t.Errorf("summary is %+v", sum)
		}
		texts := []string{}
		for _, d := range clitest.Receive(t, broker, queue, 3) {
			texts = append(texts, string(d.Body))
		}
		slices.Sort(texts) // what comes back may come back behind what was there
		if got := strings.Join(texts, ""); got != "bcd" {
			t.Errorf("left in the queue is %q, want bcd", got)
		}
	})
}

func TestWorkIsCutOff(t *testing.T) {
	for _, mode := range []Mode{Consume, Iterate, Get} {
		t.Run(string(mode), func(t *testing.T) {
			clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
				publish(t, broker, queue, "long.")
				r := start(t, broker, Options{Queue: queue, Mode: mode, Work: time.Hour, ShutdownTimeout: 50 * time.Millisecond})
				r.Await(t, "'long.'", 1)
				r.stop()
				<-r.ended
				if r.err == nil || !strings.Contains(r.err.Error(), "50ms") {
					t.Errorf("error is %v, want it to tell the timeout", r.err)
				}
				if r.sum != (Summary{Received: 1, Returned: 1}) {
					t.Errorf("summary is %+v", r.sum)
				}
				if d := clitest.Receive(t, broker, queue, 1)[0]; d.Attempt != 1 {
					t.Errorf("attempt is %d; being cut off is no failure", d.Attempt)
				}
			})
		})
	}
}

func TestRetryAndDeadLetter(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		dead := clitest.Queue(t, broker)
		r := start(t, broker, Options{Queue: queue, FailOn: "bad", Retry: messaging.Retry{
			MaxAttempts: 2, Min: 50 * time.Millisecond, Max: 50 * time.Millisecond, DeadLetter: messaging.Queue(dead),
		}})
		publish(t, broker, queue, "good", "a bad one")
		r.Await(t, ` [!] Failed 'a bad one': it contains "bad" (--fail-on)`+"\n", 2)
		d := clitest.Receive(t, broker, dead, 1)[0]
		if string(d.Body) != "a bad one" || d.Headers[messaging.HeaderDeadAttempts] != "2" {
			t.Errorf("the dead letter is %+v", d)
		}
		r.stop()
		if sum := r.wait(t); sum != (Summary{Received: 3, Acknowledged: 1, Failed: 2}) {
			t.Errorf("summary is %+v", sum)
		}
		if !strings.Contains(r.String(), " [x] Received 'a bad one' (attempt 2)\n") {
			t.Errorf("the second attempt is not said to be one: %s", r)
		}
	})
}

func TestAutoAck(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		publish(t, broker, queue, "bad", "good") // first: two that declare a quorum queue at once are too much for RabbitMQ 3.10
		r := start(t, broker, Options{Queue: queue, AutoAck: true, FailOn: "bad"})
		r.Await(t, "'good'", 1)
		r.stop()
		if sum := r.wait(t); sum != (Summary{Received: 2, Acknowledged: 1, Failed: 1}) {
			t.Errorf("summary is %+v", sum)
		}
		if n := ready(t, broker, queue); n != 0 {
			t.Errorf("%d messages are left, want none", n)
		}
	})
}

func TestGet(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		publish(t, broker, queue, "one", "two")
		r := start(t, broker, Options{Queue: queue, Mode: Get})
		if sum := r.wait(t); sum != (Summary{Received: 1, Acknowledged: 1}) {
			t.Errorf("summary is %+v", sum)
		}
		if got := r.String(); got != " [x] Received 'one'\n" {
			t.Errorf("output is %q", got)
		}
		if got := clitest.Receive(t, broker, queue, 1)[0]; string(got.Body) != "two" {
			t.Errorf("left in the queue is %q", got.Body)
		}
	})
}

func TestGetFromAnEmptyQueue(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		r := start(t, broker, Options{Queue: queue, Mode: Get})
		r.wait(t)
		if want := " [*] No message in queue '" + queue + "'\n"; r.String() != want {
			t.Errorf("output is %q, want %q", r, want)
		}
	})
}

func TestUntilInactivity(t *testing.T) {
	for _, mode := range []Mode{Iterate, Consume} {
		t.Run(string(mode), func(t *testing.T) {
			clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
				publish(t, broker, queue, "one", "two", "three")
				r := start(t, broker, Options{Queue: queue, Mode: mode, InactivityTimeout: 500 * time.Millisecond})
				if sum := r.wait(t); sum != (Summary{Received: 3, Acknowledged: 3}) {
					t.Errorf("summary is %+v", sum)
				}
				if got := r.Lines(); len(got) != 5 || got[3] != " [x] Received 'three'" {
					t.Errorf("output is %q", got)
				}
			})
		})
	}
}

// bubble runs test on a broker in memory, in no time at all.
func bubble(t *testing.T, test func(t *testing.T, broker *memory.Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		broker := memory.New()
		defer broker.Close(t.Context())
		test(t, broker)
	})
}

// Working is no inactivity, and neither is the time between two messages.
func TestInactivityCountsFromTheLastMessage(t *testing.T) {
	for _, mode := range []Mode{Iterate, Consume} {
		t.Run(string(mode), func(t *testing.T) {
			bubble(t, func(t *testing.T, broker *memory.Broker) {
				publish(t, broker, DefaultQueue, "a...", "b...")
				started := time.Now()
				r := start(t, broker, Options{Mode: mode, InactivityTimeout: 2 * time.Second, Work: time.Second})
				time.Sleep(7 * time.Second)
				publish(t, broker, DefaultQueue, "c")
				if sum := r.wait(t); sum.Acknowledged != 3 {
					t.Errorf("summary is %+v", sum)
				}
				if took := time.Since(started); took != 9*time.Second {
					t.Errorf("took %s, want 9s", took)
				}
			})
		})
	}
}

func TestWorkTakesItsTime(t *testing.T) {
	bubble(t, func(t *testing.T, broker *memory.Broker) {
		publish(t, broker, DefaultQueue, "a...", "b", "c.")
		started := time.Now()
		r := start(t, broker, Options{Work: time.Second})
		r.Await(t, " [x] Done\n", 3)
		if took := time.Since(started); took != 4*time.Second {
			t.Errorf("took %s, want a second for each dot", took)
		}
		r.stop()
		r.wait(t)
	})
}

func TestWorkersAreFasterThanOne(t *testing.T) {
	bubble(t, func(t *testing.T, broker *memory.Broker) {
		publish(t, broker, DefaultQueue, "a...", "b...", "c...")
		started := time.Now()
		r := start(t, broker, Options{Work: time.Second, Workers: 3})
		r.Await(t, " [x] Done (worker ", 3)
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("took %s, want 3s", took)
		}
		r.stop()
		r.wait(t)
	})
}

func TestWaitingIsSaidOnce(t *testing.T) {
	bubble(t, func(t *testing.T, broker *memory.Broker) {
		r := start(t, broker, Options{})
		r.Await(t, waiting, 1)
		broker.Disconnect()
		synctest.Wait()
		broker.Reconnect()
		publish(t, broker, DefaultQueue, "a")
		r.Await(t, "'a'", 1)
		r.stop()
		r.wait(t)
		if n := strings.Count(r.String(), waiting); n != 1 {
			t.Errorf("it is said %d times:\n%s", n, r)
		}
	})
}

func TestQuiet(t *testing.T) {
	bubble(t, func(t *testing.T, broker *memory.Broker) {
		publish(t, broker, DefaultQueue, "a", "b")
		r := start(t, broker, Options{Quiet: true, InactivityTimeout: time.Second})
		r.wait(t)
		if got := r.String(); strings.Contains(got, "[x]") || !strings.Contains(got, "Received 2") {
			t.Errorf("output is %q, want the summary", got)
		}
	})
}

func TestClosedBroker(t *testing.T) {
	broker := memory.New()
	if err := broker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), broker, Options{}, io.Discard); !errors.Is(err, messaging.ErrClosed) {
		t.Errorf("error is %v, want %v", err, messaging.ErrClosed)
	}
}

func TestOutputThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, broker *memory.Broker) {
		in, out := io.Pipe()
		_ = in.Close()
		publish(t, broker, DefaultQueue, "a")
		sum, err := Run(t.Context(), broker, Options{InactivityTimeout: time.Second}, out)
		if !errors.Is(err, io.ErrClosedPipe) || sum.Acknowledged != 1 {
			t.Errorf("error is %v, summary is %+v", err, sum)
		}
	})
}

func TestQueueThatMustExist(t *testing.T) {
	clitest.Everywhere(t, func(t *testing.T, broker messaging.Broker, queue string) {
		opts := Options{Queue: queue, Declare: cli.DeclareNever}
		if _, err := Run(clitest.Context(t), broker, opts, io.Discard); !errors.Is(err, messaging.ErrNotFound) {
			t.Errorf("error is %v, want %v", err, messaging.ErrNotFound)
		}
	})
}

func TestNote(t *testing.T) {
	for want, d := range map[string]messaging.Delivery{
		"":               {Attempt: 1},
		" (redelivered)": {Attempt: 1, Redelivered: true},
		" (attempt 3)":   {Attempt: 3, Redelivered: true},
	} {
		if got := note(&d); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}

func TestBadOptions(t *testing.T) {
	long := strings.Repeat("x", 256)
	retry := func(r messaging.Retry) Options { return Options{Retry: r} }
	for _, test := range []struct {
		opts Options
		says []string
	}{
		{Options{Queue: long}, []string{"--queue"}},
		{Options{Queue: "a\nb"}, []string{"--queue"}},
		{Options{Declare: "x"}, []string{"--declare"}},
		{Options{Mode: "x"}, []string{"--mode"}},
		{Options{Workers: -1}, []string{"--workers"}},
		{Options{Prefetch: -1}, []string{"--prefetch"}},
		{Options{Workers: 1000, Prefetch: 1000}, []string{"--workers", "--prefetch"}},
		{Options{InactivityTimeout: -1}, []string{"--inactivity-timeout"}},
		{Options{Work: -1}, []string{"--work"}},
		{Options{ShutdownTimeout: -1}, []string{"--shutdown-timeout"}},
		{retry(messaging.Retry{MaxAttempts: -1}), []string{"--max-attempts"}},
		{retry(messaging.Retry{Min: -1}), []string{"--retry-min"}},
		{retry(messaging.Retry{Max: -1}), []string{"--retry-max"}},
		{retry(messaging.Retry{Min: 2, Max: 1}), []string{"--retry-min", "--retry-max"}},
		{retry(messaging.Retry{Min: 10000 * time.Hour}), []string{"--retry-min", "720h"}},
		{retry(messaging.Retry{DeadLetter: messaging.Queue(DefaultQueue)}), []string{"--dead-letter", "--queue"}},
		{retry(messaging.Retry{DeadLetter: messaging.Queue("")}), []string{"--dead-letter"}},
		{Options{Queue: long[:255]}, []string{"--dead-letter"}},
		{Options{Mode: Get, Workers: 2}, []string{"--mode get", "--workers 2"}},
		{Options{Mode: Iterate, Workers: 2}, []string{"--mode iterate", "--workers 2"}},
		{Options{Mode: Get, Prefetch: 2}, []string{"--mode get", "--prefetch"}},
		{Options{Mode: Get, InactivityTimeout: 2}, []string{"--mode get", "--inactivity-timeout"}},
		{Options{AutoAck: true, Retry: messaging.Retry{MaxAttempts: 2}}, []string{"--auto-ack", "--max-attempts"}},
	} {
		_, err := Run(t.Context(), nil, test.opts, io.Discard) // no broker: it must not be asked
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
