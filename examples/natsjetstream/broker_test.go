package natsjetstream_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/warrenmq/warren/examples/natsjetstream"
	"github.com/warrenmq/warren/pkg/messaging"
)

// open opens a Broker that the test closes.
func open(t *testing.T, url string, opts ...nats.Option) *natsjetstream.Broker {
	t.Helper()
	b, err := natsjetstream.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = b.Close(ctx) // of a Broker whose network was cut for good, that is an error
	})
	return b
}

func publish(t *testing.T, b messaging.Broker, to messaging.Address, msgs ...*messaging.Message) {
	t.Helper()
	if err := b.Publish(t.Context(), to, msgs...); err != nil {
		t.Fatal(err)
	}
}

// receive waits for one message.
func receive(t *testing.T, b messaging.Broker, from messaging.Source) messaging.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for m, err := range messaging.Messages(ctx, b, from, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Settle(nil); err != nil {
			t.Fatal(err)
		}
		return m.Delivery
	}
	t.Fatalf("nothing came from %s", from.Address)
	return messaging.Delivery{}
}

// TestOpenByURL is the way of a service that knows no adapter.
func TestOpenByURL(t *testing.T) {
	url := startServer(t)
	b, err := messaging.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	q := messaging.QueueSpec{Name: "hello"}
	if err := b.Declare(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	publish(t, b, messaging.Queue("hello"), &messaging.Message{Body: []byte("Hello World!")})
	if d := receive(t, b, messaging.Source{Address: messaging.Queue("hello")}); string(d.Body) != "Hello World!" {
		t.Errorf("received %q", d.Body)
	}
	info, err := b.Inspect(t.Context(), messaging.Queue("hello"))
	if err != nil || info.Ready != 0 || info.Consumers != messaging.Unknown {
		t.Errorf("Inspect: %+v, %v", info, err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	const password = "s3cret"
	for url, want := range map[string]string{
		"nats://?ack_wait=1s":                      "host is missing",
		"nats://u:" + password + "@host/path":      "nothing may follow",
		"nats://u:" + password + "@host?ack=1s":    `unknown parameter "ack"`,
		"nats://u:" + password + "@h?ack_wait=1ms": "1s or more",
	} {
		_, err := messaging.Open(t.Context(), url)
		if !errors.Is(err, messaging.ErrURL) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", url, err)
		}
	}
	_, err := messaging.Open(t.Context(), "nats://u:"+password+"@127.0.0.1:1")
	if err == nil || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("with nobody there: %v", err)
	}
}

// TestCrash cuts a Broker off for good, as the death of its program does: after
// ack_wait, another gets what it held.
func TestCrash(t *testing.T) {
	url := startServer(t) + "?ack_wait=1s"
	network := &network{}
	dying, other := open(t, url, nats.SetCustomDialer(network)), open(t, url)
	q := messaging.Queue("jobs")
	if err := dying.Declare(t.Context(), messaging.QueueSpec{Name: q.Name()}); err != nil {
		t.Fatal(err)
	}
	publish(t, dying, q, &messaging.Message{ID: "job", Body: []byte("work")})
	if _, err := messaging.Get(t.Context(), dying, messaging.Source{Address: q}); err != nil {
		t.Fatal(err)
	}
	network.cut()
	if d := receive(t, other, messaging.Source{Address: q}); d.ID != "job" || !d.Redelivered || d.Attempt != 1 {
		t.Errorf("received %q, Redelivered %t, Attempt %d", d.ID, d.Redelivered, d.Attempt)
	}
}

// TestDelayedPastOtherBrokers: what waits for its time comes then, though another
// Broker, which took part in moving it on, has crashed or was closed meanwhile.
func TestDelayedPastOtherBrokers(t *testing.T) {
	url := startServer(t)
	network := &network{}
	open(t, url, nats.SetCustomDialer(network))
	closing, b := open(t, url), open(t, url)
	q := messaging.Queue("later")
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: q.Name()}); err != nil {
		t.Fatal(err)
	}
	const delay = 300 * time.Millisecond
	msgs := make([]*messaging.Message, 500)
	for i := range msgs {
		msgs[i] = &messaging.Message{Delay: delay}
	}
	network.hold() // what is on its way to it stays there
	start := time.Now()
	publish(t, b, q, msgs...)
	if err := closing.Close(t.Context()); err != nil {
		t.Error(err)
	}
	network.cut()
	network.release()
	handled := 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := b.Subscribe(ctx, messaging.Source{Address: q}, func(context.Context, *messaging.Delivery) error {
		if handled++; handled == len(msgs) {
			cancel()
		}
		return nil
	})
	if err != nil || handled < len(msgs) {
		t.Fatalf("%d of %d came; error: %v", handled, len(msgs), err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("with a delay of %s the last came after %s", delay, took)
	}
}

// TestDelayedPastOperator: an operator may delete the consumer by which the Brokers
// move what waits.
func TestDelayedPastOperator(t *testing.T) {
	url := startServer(t)
	operator, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operator.Close)
	b := open(t, url)
	q := messaging.Queue("later")
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: q.Name()}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, q, &messaging.Message{Delay: time.Second, Body: []byte("delayed")})
	if err := natsjetstream.DeleteMover(operator); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if d := receive(t, b, messaging.Source{Address: q}); string(d.Body) != "delayed" {
		t.Errorf("received %q", d.Body)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("with a delay of a second it came after %s", took)
	}
}

// TestLongJob holds a message for longer than ack_wait: nobody else gets it,
// because its lease is renewed.
func TestLongJob(t *testing.T) {
	b := open(t, startServer(t)+"?ack_wait=1s")
	q := messaging.Queue("jobs")
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: q.Name()}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, q, &messaging.Message{Body: []byte("work")})
	held, err := messaging.Get(t.Context(), b, messaging.Source{Address: q})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, q, &messaging.Message{Delay: 3 * time.Second, Body: []byte("later")})
	if d := receive(t, b, messaging.Source{Address: q}); string(d.Body) != "later" {
		t.Errorf("%q came, which is held", d.Body)
	}
	if err := held.Settle(nil); err != nil {
		t.Error(err)
	}
}

// TestTooLarge is the part of rule P8 that JetStream allows.
func TestTooLarge(t *testing.T) {
	b := open(t, startServer(t))
	q := messaging.Queue("large")
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: q.Name()}); err != nil {
		t.Fatal(err)
	}
	header := func(size int) *messaging.Message {
		return &messaging.Message{Headers: map[string]string{"k": strings.Repeat("x", size)}}
	}
	body := func(size int) *messaging.Message { return &messaging.Message{Body: make([]byte, size)} }
	const most = maxPayload - 60<<10
	err := b.Publish(t.Context(), q, body(most), body(most+1), header(59<<10), header(60<<10))
	var failure *messaging.PublishError
	if !errors.As(err, &failure) || len(failure.Failed) != 2 || failure.Failed[0].Index != 1 || failure.Failed[1].Index != 3 {
		t.Fatalf("a body and headers that are too large gave %v", err)
	}
	for _, f := range failure.Failed {
		if !errors.Is(f.Err, messaging.ErrTooLarge) {
			t.Errorf("message %d: %v", f.Index, f.Err)
		}
	}
	for _, size := range []int{most, 0} {
		if d := receive(t, b, messaging.Source{Address: q}); len(d.Body) != size {
			t.Errorf("received %d bytes, not %d", len(d.Body), size)
		}
	}
}

// TestPatterns has the patterns of rule T3 that NATS can match.
func TestPatterns(t *testing.T) {
	b := open(t, startServer(t))
	topic := messaging.Topic("logs")
	keys := []string{"", "a", "b", "a.b", "a.c", "a.b.c", "b.a", "ab", "A"}
	patterns := map[string]string{
		"#": ",a,b,a.b,a.c,a.b.c,b.a,ab,A", "a": "a", "*": "a,b,ab,A", "a.*": "a.b,a.c", "*.b": "a.b",
		"a.#": "a,a.b,a.c,a.b.c", "*.#": "a,b,a.b,a.c,a.b.c,b.a,ab,A",
	}
	for pattern := range patterns {
		if err := b.Bind(t.Context(), messaging.Source{Address: topic, Group: pattern, Keys: []string{pattern}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range keys {
		publish(t, b, topic, &messaging.Message{Key: key})
	}
	for pattern, want := range patterns {
		src := messaging.Source{Address: topic, Group: pattern, Keys: []string{pattern}}
		publish(t, b, src.Queue(), &messaging.Message{Type: "end"})
		got := untilEnd(t, b, src)
		if strings.Join(got, ",") != want {
			t.Errorf("%q matched %q, not %q", pattern, got, want)
		}
	}
	err := b.Bind(t.Context(), messaging.Source{Address: topic, Group: "g", Keys: []string{"#.c"}})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "#.c") {
		t.Errorf("a pattern that NATS cannot match: %v", err)
	}
}

// TestGroupAndQueue: a group whose queue would be one that is there already is
// refused, by Bind and by Subscribe.
func TestGroupAndQueue(t *testing.T) {
	b := open(t, startServer(t))
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: "t.g"}); err != nil {
		t.Fatal(err)
	}
	group := messaging.Source{Address: messaging.Topic("t"), Group: "g"}
	if err := b.Bind(t.Context(), group); !errors.Is(err, messaging.ErrMismatch) {
		t.Errorf("Bind: %v", err)
	}
	err := b.Subscribe(t.Context(), group, func(context.Context, *messaging.Delivery) error { return nil })
	if !errors.Is(err, messaging.ErrMismatch) {
		t.Errorf("Subscribe: %v", err)
	}
}

// TestServerRestart: what is stored and what waits outlive the server, and the
// Broker and its subscription find the new one.
func TestServerRestart(t *testing.T) {
	dir := t.TempDir()
	s := runServer(t, dir, server.RANDOM_PORT)
	b := open(t, s.ClientURL())
	q := messaging.Queue("kept")
	if err := b.Declare(t.Context(), messaging.QueueSpec{Name: q.Name()}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, q, &messaging.Message{Body: []byte("stored")},
		&messaging.Message{Body: []byte("delayed"), Delay: 3 * time.Second})
	port := s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	runServer(t, dir, port)
	for _, want := range []string{"stored", "delayed"} {
		if d := receive(t, b, messaging.Source{Address: q}); string(d.Body) != want {
			t.Errorf("received %q, not %q", d.Body, want)
		}
	}
}

// untilEnd receives up to a message of the type "end", and returns the keys.
func untilEnd(t *testing.T, b messaging.Broker, src messaging.Source) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := false
	err := b.Subscribe(ctx, src, func(_ context.Context, d *messaging.Delivery) error {
		if ended = d.Type == "end"; ended {
			cancel()
		} else {
			keys = append(keys, d.Key)
		}
		return nil
	})
	if err != nil || !ended {
		t.Errorf("subscribe to %s: the end was seen: %t, error: %v", src.Queue(), ended, err)
	}
	return keys
}

// TestDeclare has the properties that a stream can have.
func TestDeclare(t *testing.T) {
	b := open(t, startServer(t))
	for _, q := range []messaging.QueueSpec{
		{}, {MaxLength: 100}, {MaxLength: 100, Overflow: messaging.DropOldest}, {TTL: time.Hour}, {Transient: true},
	} {
		q.Name = messaging.NewID()
		if err := b.Declare(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		publish(t, b, messaging.Queue(q.Name), &messaging.Message{Body: []byte("kept")})
		if err := b.Declare(t.Context(), q); err != nil {
			t.Errorf("%+v, again: %v", q, err)
		}
		if d := receive(t, b, messaging.Source{Address: messaging.Queue(q.Name)}); string(d.Body) != "kept" {
			t.Errorf("%+v, declared twice, has %q", q, d.Body)
		}
	}
	for _, q := range []messaging.QueueSpec{
		{SingleActive: true}, {AutoDelete: true}, {Exclusive: true}, {TTL: time.Millisecond},
	} {
		q.Name = messaging.NewID()
		if err := b.Declare(t.Context(), q); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: %v, not errors.ErrUnsupported", q, err)
		}
	}
}
