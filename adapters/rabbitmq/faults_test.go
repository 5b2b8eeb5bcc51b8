package rabbitmq

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestStaleSettlement: what a handler settles whose connection was lost means
// nothing on the next one, where other messages have the same numbers.
func TestStaleSettlement(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	q := declare(t, b)
	publish(t, b, q, texts("m", 4)...)
	first, again := make(chan struct{}, 4), make(chan messaging.Delivery, 8)
	release, hold := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	stale := 0
	sub := subscribe(t, b, messaging.Source{Address: q, Concurrency: 8, ShutdownTimeout: time.Millisecond},
		func(ctx context.Context, d *messaging.Delivery) error {
			mu.Lock()
			old := stale < 4
			stale++
			mu.Unlock()
			if old {
				first <- struct{}{}
				<-release
				return nil
			}
			again <- *d
			<-hold
			return messaging.Requeue(nil)
		})
	for range 4 {
		next(t, first, "the first deliveries")
	}
	proxy.Cut()
	sub.waitReady()
	for range 4 {
		if d := next(t, again, "the messages again"); !d.Redelivered {
			t.Error("it is not marked as redelivered")
		}
	}
	close(release) // four acknowledgements of the lost connection
	close(hold)
	_ = sub.stop() // what was requeued comes again until then
	counts(t, b, q, 4, 0)
}

// TestFrozenBroker: with a broker that is stopped in its tracks, everything
// that has a deadline keeps it.
func TestFrozenBroker(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b, err := Open(t.Context(), node.URL())
	if err != nil {
		t.Fatal(err)
	}
	q, other := declare(t, b), declare(t, b)
	publish(t, b, q, texts("m", 10)...)
	handling := make(chan struct{}, 10)
	ctx, stop := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() {
		returned <- b.Subscribe(ctx, messaging.Source{Address: q, Prefetch: 2, ShutdownTimeout: 100 * time.Millisecond},
			func(ctx context.Context, _ *messaging.Delivery) error {
				handling <- struct{}{}
				<-ctx.Done()
				return nil
			})
	}()
	next(t, handling, "a handler")
	if err := node.Freeze(); err != nil {
		t.Fatal(err)
	}
	within := func(what string, limit time.Duration, f func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := f(ctx)
		if took := time.Since(start); took > limit || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s took %s: %v", what, took, err)
		}
	}
	within("Publish", time.Second, func(ctx context.Context) error { return b.Publish(ctx, other, texts("m", 10)...) })
	within("Inspect", time.Second, func(ctx context.Context) error { _, err := b.Inspect(ctx, q); return err })
	within("Declare", time.Second, func(ctx context.Context) error { return b.Declare(ctx, messaging.QueueSpec{Name: "x"}) })
	within("Get", time.Second, func(ctx context.Context) error { _, err := b.Get(ctx, messaging.Source{Address: q}); return err })
	within("Subscribe", time.Second, func(ctx context.Context) error {
		return errors.Join(b.Subscribe(ctx, messaging.Source{Address: q}, collect(nil)), ctx.Err())
	})
	start := time.Now()
	stop()
	if err := next(t, returned, "Subscribe"); err == nil {
		t.Error("nothing could be settled, and Subscribe returned nil")
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Subscribe took %s to return", took)
	}
	within("Close", 2*time.Second, func(ctx context.Context) error { return errors.Join(b.Close(ctx), ctx.Err()) })
	if err := node.Thaw(); err != nil {
		t.Fatal(err)
	}
	counts(t, openAt(t, node.URL()), q, 10, 0)
}

// TestHalfOpenIsNoticed: a network that loses everything is noticed by the
// missing heartbeats, and Publish goes on over a new connection.
func TestHalfOpenIsNoticed(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.SharedNode(t)
	lossy, sound := rabbitmqtest.NewProxy(t, node.Addr()), rabbitmqtest.NewProxy(t, node.Addr())
	u, err := url.Parse(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = lossy.Addr() + "," + sound.Addr()
	u.RawQuery = "heartbeat=1s&connect_timeout=1s"
	b := openAt(t, u.String())
	q := declare(t, b)
	got := make(chan messaging.Delivery, 2)
	sub := subscribe(t, b, messaging.Source{Address: q}, collect(got))
	lossy.Blackhole(rabbitmqtest.BothWays, true)
	start := time.Now()
	publish(t, b, q, &messaging.Message{ID: "through"})
	t.Logf("published after %s", time.Since(start))
	sub.waitReady()
	if d := next(t, got, "the message"); d.ID != "through" {
		t.Errorf("%+v", d)
	}
	if err := b.Health().LastError; err == nil || !strings.Contains(err.Error(), "no sign of life") {
		t.Errorf("Health says %v", err)
	}
	lossy.Blackhole(rabbitmqtest.BothWays, false)
}

// userMarshaler makes one message the broker closes the channel for.
type userMarshaler struct{ Marshaler }

func (userMarshaler) Marshal(m *message.Message) (amqp.Publishing, error) {
	p, err := Marshaler{}.Marshal(m)
	if m.Metadata["as"] != "" {
		p.UserId = m.Metadata["as"]
	}
	return p, err
}

var _ wamqp.Marshaler = userMarshaler{}

// TestPoisonousMessage: a message for which the broker closes the channel fails
// by itself. All others, which were on their way in that channel, are stored.
func TestPoisonousMessage(t *testing.T) {
	b := open(t, WithMarshaler(userMarshaler{}))
	q := declare(t, b)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 10 {
				msgs := texts("m", 20)
				msgs[7].Headers = map[string]string{"as": "somebody-else"}
				err := b.Publish(t.Context(), q, msgs...)
				var failed *messaging.PublishError
				if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Index != 7 || !strings.Contains(err.Error(), "user_id") {
					t.Errorf("%v", err)
				}
			}
		})
	}
	running.Wait()
	got := make(chan messaging.Delivery, 10_000)
	subscribe(t, b, messaging.Source{Address: q, Prefetch: 200}, collect(got))
	for seen := map[string]bool{}; len(seen) < 8*10*19; {
		seen[next(t, got, "all others").ID] = true
	}
}

// TestRefusedIsSentAgain: a queue that is full for a moment costs nothing but
// time.
func TestRefusedIsSentAgain(t *testing.T) {
	b := open(t)
	q := declare(t, b, func(s *messaging.QueueSpec) { s.MaxLength = 1 })
	for b.Publish(t.Context(), q, &messaging.Message{}) == nil { // quorum queues take some more
	}
	result := make(chan error, 1)
	go func() { result <- b.Publish(t.Context(), q, &messaging.Message{ID: "last"}) }()
	if _, err := b.Purge(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if err := next(t, result, "Publish"); err != nil {
		t.Error(err)
	}
	// A call may also end while the broker has not answered to the message that
	// was sent again, which may then be stored.
	var err error
	for tries := 0; err == nil || errors.Is(err, messaging.ErrUnconfirmed) && tries < 20; tries++ {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err = b.Publish(ctx, q, &messaging.Message{})
		cancel()
	}
	if !errors.Is(err, messaging.ErrRejected) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, messaging.ErrUnconfirmed) {
		t.Errorf("when ctx ends while it is refused: %v", err)
	}
}

// TestRefusedIsSentOnAnotherChannel: what is refused again and again may be
// refused by its channel, and not by its queue, which is how RabbitMQ 3.10 has
// it when the leader of a quorum queue has died. What others have on their way
// on that channel is confirmed all the same.
func TestRefusedIsSentOnAnotherChannel(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b := openAt(t, node.URL())
	full := declare(t, b, func(s *messaging.QueueSpec) { s.MaxLength = 1 })
	q := declare(t, b)
	refused := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = b.Publish(t.Context(), full, &messaging.Message{})
		}
		refused <- err
	}()
	channels := map[string]bool{}
	for {
		publish(t, b, q, texts("m", 10)...)
		now, err := node.Eval("[pid_to_list(P) || P <- rabbit_channel:list_local()]")
		if err != nil {
			t.Fatal(err)
		}
		channels[now] = true
		select {
		case err := <-refused:
			if !errors.Is(err, messaging.ErrRejected) {
				t.Error(err)
			}
			if len(channels) < 4 { // the first, and some more as they are opened
				t.Errorf("it was refused for two seconds, always by %v", channels)
			}
			return
		default:
		}
	}
}

// TestPublishTimeout: where ctx has no deadline, publish_timeout limits the
// wait for the next sign of progress, and not a call that makes progress.
func TestPublishTimeout(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, viaProxy(proxy, node.URL(), "publish_timeout=1s"))
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{})
	if err := proxy.Refuse(true); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	start := time.Now()
	err := b.Publish(context.Background(), q, &messaging.Message{})
	if took := time.Since(start); took < 900*time.Millisecond || took > testPatience/2 {
		t.Errorf("took %s", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "publish_timeout") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the error should say that it was publish_timeout, and what is wrong with the connection: %v", err)
	}
	if err := proxy.Refuse(false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.publishes.await(t.Context()); err != nil { // its next attempt may be later than publish_timeout
		t.Fatal(err)
	}
	publish(t, b, q, &messaging.Message{})
	proxy.SetLatency(50 * time.Millisecond)
	start = time.Now()
	publish(t, b, q, texts("m", 20*laneWindow)...)
	if took := time.Since(start); took < time.Second {
		t.Errorf("a call of %s proves nothing", took)
	}
}

// TestLateConfirmation: a message that was given up as unconfirmed does not
// keep others from being sent, and is not sent again.
func TestLateConfirmation(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{ID: "before"})
	proxy.Blackhole(rabbitmqtest.ToClient, true)
	for range 3 { // more than the window holds
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := b.Publish(ctx, q, texts("late", laneWindow*laneCount/2)...)
		cancel()
		if !errors.Is(err, messaging.ErrUnconfirmed) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
	proxy.Blackhole(rabbitmqtest.ToClient, false)
	for range 2 * laneCount {
		publish(t, b, q, &messaging.Message{ID: "after"})
	}
}

// TestBodyMayChangeAfterGivingUp: rule P10 holds for a message that is still
// being written when its caller has given up.
func TestBodyMayChangeAfterGivingUp(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	b := openAt(t, proxy.URL(node.URL()))
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{})
	proxy.Blackhole(rabbitmqtest.ToBroker, true)
	body := slices.Repeat([]byte("original"), 2<<20)               // more than the network buffers
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // enough to begin with it
	defer cancel()
	if err := b.Publish(ctx, q, &messaging.Message{ID: "big", Body: body}); !errors.Is(err, messaging.ErrUnconfirmed) {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 'X'
	}
	proxy.Blackhole(rabbitmqtest.ToBroker, false)
	got := make(chan messaging.Delivery, 2)
	subscribe(t, b, messaging.Source{Address: q}, collect(got))
	next(t, got, "the first message")
	if d := next(t, got, "the big message"); strings.Contains(string(d.Body), "X") {
		t.Error("what the caller changed after Publish had returned was sent")
	}
}

// TestLossesInARow: a consumer that is lost again and again is not made again
// at once.
func TestLossesInARow(t *testing.T) {
	t.Parallel()
	b := open(t)
	q := declare(t, b)
	ch := rawChannel(t, rabbitmqtest.URL(t))
	sub := subscribe(t, b, messaging.Source{Address: q}, collect(nil))
	start := time.Now()
	for range 5 {
		if _, err := ch.QueueDelete(q.Name(), false, false, false); err != nil {
			t.Fatal(err)
		}
		sub.waitReady()
	}
	// The waits grow from 100 ms, less a half by chance.
	if took, least := time.Since(start), 1550*time.Millisecond; took < least {
		t.Errorf("lost 5 times at once, and back after %s; the waits add up to %s at least", took, least)
	}
}

// TestConnectionsLostInARow: a subscription does not wait for longer each time
// that a connection is lost which was of use. How long to wait for the next one
// is the connection's own decision.
func TestConnectionsLostInARow(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, host(t))
	lines, log := newTestLog(t)
	b := openAt(t, viaProxy(proxy, node.URL(), ""), WithLogger(log))
	q := declare(t, b)
	handled := make(chan messaging.Delivery, 64) // some come twice
	sub := subscribe(t, b, messaging.Source{Address: q}, collect(handled))
	for range 6 {
		publish(t, b, q, &messaging.Message{})
		next(t, handled, "a message")
		proxy.Cut()
		sub.waitReady()
	}
	for line := range strings.Lines(lines.String()) {
		if strings.Contains(line, "lost a subscription") && !strings.Contains(line, "attempt=2 ") {
			t.Errorf("waits for longer after the loss of a useful connection: %s", line)
		}
	}
}

// TestPublishWhileConnectionsAreCut: what is being handed to a connection just
// when it is lost is sent again like all the rest (P6).
func TestPublishWhileConnectionsAreCut(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, host(t))
	b := openAt(t, viaProxy(proxy, node.URL(), ""))
	q := declare(t, b)
	stop := make(chan struct{})
	stored := make(chan struct{})
	var publishers sync.WaitGroup
	for range 32 {
		publishers.Go(func() {
			for {
				if err := b.Publish(context.Background(), q, &messaging.Message{}); err != nil {
					t.Error(err)
				}
				select {
				case stored <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	for range 15 {
		for range 100 {
			next(t, stored, "a stored message")
		}
		proxy.Cut()
	}
	close(stop)
	publishers.Wait()
}

// TestDeclaredTwiceAtOnce: RabbitMQ 3.10 now and then closes the connection of one
// of two that declare the same quorum queue at the same time (541). The other's
// will do.
func TestDeclaredTwiceAtOnce(t *testing.T) {
	b, other := open(t), open(t)
	for range 20 {
		q := messaging.Queue(t.Name() + "." + messaging.NewID())
		var both sync.WaitGroup
		for _, b := range []*Broker{b, other} {
			both.Go(func() {
				if err := b.Declare(t.Context(), messaging.QueueSpec{Name: q.Name()}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
}
