package rabbitmq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// onEachType runs a test with quorum queues and with classic ones.
func onEachType(t *testing.T, test func(t *testing.T, url string)) {
	for _, queueType := range []string{queueTypeQuorum, queueTypeClassic} {
		t.Run(queueType, func(t *testing.T) { test(t, rabbitmqtest.URL(t)+"?queue_type="+queueType) })
	}
}

// host is where the broker of the tests listens.
func host(t testing.TB) string {
	u, err := url.Parse(rabbitmqtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// topicOf is a topic that no other test uses.
func topicOf(t testing.TB) messaging.Address {
	return messaging.Topic(strings.ReplaceAll(t.Name(), "/", ".") + "." + messaging.NewID())
}

func bind(t testing.TB, b messaging.Manager, topic messaging.Address, group string, keys ...string) messaging.Source {
	t.Helper()
	src := messaging.Source{Address: topic, Group: group, Keys: keys}
	if err := b.Bind(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	return src
}

func keyed(keys ...string) []*messaging.Message {
	msgs := make([]*messaging.Message, len(keys))
	for i, key := range keys {
		msgs[i] = &messaging.Message{Key: key, Body: []byte(key)}
	}
	return msgs
}

// wantKeys fails the test where the next deliveries do not have these keys and
// bodies, in this order.
func wantKeys(t testing.TB, got <-chan messaging.Delivery, from messaging.Address, keys ...string) {
	t.Helper()
	for _, key := range keys {
		d := next(t, got, "the message with key "+key)
		if d.Key != key || string(d.Body) != key || d.From != from || len(d.Headers) != 0 {
			t.Fatalf("received key %q, body %q, headers %v, from %s; want key %s from %s", d.Key, d.Body, d.Headers, d.From, key, from)
		}
	}
}

// ready is how many messages wait in q.
func ready(t testing.TB, b messaging.Manager, q messaging.Address) int {
	t.Helper()
	info, err := b.Inspect(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return info.Ready
}

// holds waits until n messages wait in q: quorum queues count late.
func holds(t testing.TB, b messaging.Manager, q messaging.Address, n int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(testPatience); ready(t, b, q) != n; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s has %d messages, want %d", q, ready(t, b, q), n)
		}
	}
}

// picky is a Marshaler that fails on what begins with "bad".
type picky struct{ Marshaler }

func (p picky) Unmarshal(d amqp.Delivery) (*message.Message, error) {
	if bytes.HasPrefix(d.Body, []byte("bad")) {
		return nil, errors.New("bad")
	}
	return p.Marshaler.Unmarshal(d)
}

// TestGroupKeepsFromBind: what is published between Bind and Subscribe is kept,
// in a queue of the type that was asked for, whoever subscribes.
func TestGroupKeepsFromBind(t *testing.T) {
	onEachType(t, func(t *testing.T, url string) {
		b, other := openAt(t, url), openAt(t, url)
		topic := topicOf(t)
		src := bind(t, b, topic, "g", "order.*", "#.urgent")
		publish(t, b, topic, keyed("order.eu", "invoice.eu", "invoice.urgent", "urgent", "order.eu.urgent", "order")...)
		if err := other.Declare(t.Context(), messaging.QueueSpec{Name: topic.Name() + ".g"}); err != nil {
			t.Errorf("the group's queue is not like any other: %v", err)
		}
		got := make(chan messaging.Delivery, 10)
		subscribe(t, other, src, collect(got))
		wantKeys(t, got, topic, "order.eu", "invoice.urgent", "urgent", "order.eu.urgent")
	})
}

// TestTopicUsesExchangeAsItIs: the exchange of another program is not declared
// again, whatever its type.
func TestTopicUsesExchangeAsItIs(t *testing.T) {
	b := open(t)
	ch := rawChannel(t, rabbitmqtest.URL(t))
	for kind, want := range map[string][]string{
		amqp.ExchangeFanout:  {"a.b", "c"}, // keys have no effect
		amqp.ExchangeDirect:  {"c"},        // keys are no patterns
		amqp.ExchangeHeaders: {"a.b", "c"},
	} {
		topic := topicOf(t)
		if err := ch.ExchangeDeclare(topic.Name(), kind, false, true, false, false, nil); err != nil {
			t.Fatal(err)
		}
		got := make(chan messaging.Delivery, 10)
		subscribe(t, b, messaging.Source{Address: topic, Group: "g", Keys: []string{"a.#", "c"}}, collect(got))
		if kind == amqp.ExchangeDirect {
			publish(t, b, topic, keyed("a.b", "c")...)
			wantKeys(t, got, topic, "c")
			continue
		}
		publish(t, b, topic, keyed("a.b", "c")...)
		wantKeys(t, got, topic, want...)
	}
}

func TestBindingsAddUp(t *testing.T) {
	b := open(t)
	topic := topicOf(t)
	bind(t, b, topic, "g", "a")
	got := make(chan messaging.Delivery, 10)
	subscribe(t, b, messaging.Source{Address: topic, Group: "g", Keys: []string{"b"}}, collect(got))
	publish(t, b, topic, keyed("a", "b", "c")...)
	wantKeys(t, got, topic, "a", "b")
}

var privateQueue = regexp.MustCompile(`queue=(warren\.private\.\S+)`)

// TestPrivateSubscription gets its own copy of what is published after Ready,
// and leaves nothing behind.
func TestPrivateSubscription(t *testing.T) {
	log := &testLog{}
	b := open(t, WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	topic := topicOf(t)
	publish(t, b, topic, keyed("too.early")...)
	first, second := make(chan messaging.Delivery, 10), make(chan messaging.Delivery, 10)
	sub := subscribe(t, b, messaging.Source{Address: topic, Keys: []string{"a.#"}}, collect(first))
	subscribe(t, b, messaging.Source{Address: topic}, collect(second))
	publish(t, b, topic, keyed("a.b", "c", "a")...)
	wantKeys(t, first, topic, "a.b", "a")
	wantKeys(t, second, topic, "a.b", "c", "a")

	queue := messaging.Queue(privateQueue.FindStringSubmatch(log.String())[1])
	if info, err := b.Inspect(t.Context(), queue); err != nil || info.Consumers != 1 {
		t.Errorf("while it is read: %+v, %v", info, err)
	}
	if err := sub.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Inspect(t.Context(), queue); !errors.Is(err, messaging.ErrNotFound) {
		t.Errorf("the queue of a private subscription that has ended: %v", err)
	}
}

// TestPrivateResumes: after a lost connection there is a new queue, with the
// same bindings, and failures come back to it.
func TestPrivateResumes(t *testing.T) {
	proxy := rabbitmqtest.NewProxy(t, host(t))
	b := openAt(t, viaProxy(proxy, rabbitmqtest.URL(t), ""))
	topic := topicOf(t)
	got := make(chan messaging.Delivery, 10)
	src := messaging.Source{Address: topic, Keys: []string{"a"}, Retry: messaging.Retry{Min: 50 * time.Millisecond, Max: time.Second}}
	sub := subscribe(t, b, src, func(_ context.Context, d *messaging.Delivery) error {
		got <- *d
		if d.Attempt == 1 {
			return errors.New("the first time")
		}
		return nil
	})
	for round := range 3 {
		publish(t, b, topic, keyed("a", "b")...)
		for attempt := 1; attempt <= 2; attempt++ {
			if d := next(t, got, "an attempt"); d.Attempt != attempt || d.Key != "a" || d.From != topic {
				t.Fatalf("round %d: attempt %d with key %q from %s; want attempt %d", round, d.Attempt, d.Key, d.From, attempt)
			}
		}
		if round < 2 {
			proxy.Cut()
			sub.waitReady()
		}
	}
	if len(got) > 0 {
		t.Errorf("%d more", len(got))
	}
}

// TestFailuresKeepTheKey: the key survives retries at once and later, the
// dead-letter queue and the way back, none of which go by the topic.
func TestFailuresKeepTheKey(t *testing.T) {
	onEachType(t, func(t *testing.T, url string) {
		b := openAt(t, url)
		topic := topicOf(t)
		src := bind(t, b, topic, "g", "a.#")
		other := bind(t, b, topic, "other")
		src.Retry = messaging.Retry{MaxAttempts: 3}
		got := make(chan messaging.Delivery, 10)
		sub := subscribe(t, b, src, func(_ context.Context, d *messaging.Delivery) error {
			got <- *d
			return messaging.RetryAfter(time.Duration(d.Attempt-1)*50*time.Millisecond, errors.New("on purpose"))
		})
		publish(t, b, topic, keyed("a.b")...)
		for attempt := 1; attempt <= 3; attempt++ {
			if d := next(t, got, "an attempt"); d.Attempt != attempt || d.Key != "a.b" || d.From != topic {
				t.Fatalf("attempt %d with key %q from %s; want attempt %d", d.Attempt, d.Key, d.From, attempt)
			}
		}
		dead := messaging.Queue(topic.Name() + ".g.dead")
		holds(t, b, dead, 1)
		if err := sub.stop(); err != nil {
			t.Fatal(err)
		}
		p, err := b.Get(t.Context(), messaging.Source{Address: dead})
		if err != nil {
			t.Fatal(err)
		}
		if p.Key != "a.b" || p.Headers[messaging.HeaderDeadFrom] != src.Queue().String() {
			t.Errorf("the dead letter has key %q and comes from %s", p.Key, p.Headers[messaging.HeaderDeadFrom])
		}
		if err := p.Settle(messaging.Requeue(nil)); err != nil {
			t.Fatal(err)
		}
		if n, err := messaging.Redrive(t.Context(), b, dead, messaging.RedriveOptions{}); n != 1 || err != nil {
			t.Fatalf("redrive moved %d: %v", n, err)
		}
		subscribe(t, b, src, collect(got))
		wantKeys(t, got, topic, "a.b")
		holds(t, b, other.Queue(), 1)
	})
}

// TestDelayedToTopic: a delayed message reaches every group that is bound when
// its time comes, with its key, and a queue with the topic's name gets nothing.
func TestDelayedToTopic(t *testing.T) {
	onEachType(t, func(t *testing.T, url string) {
		b := openAt(t, url)
		topic := topicOf(t)
		same := messaging.Queue(topic.Name())
		if err := b.Declare(t.Context(), messaging.QueueSpec{Name: same.Name()}); err != nil {
			t.Fatal(err)
		}
		got := make(chan messaging.Delivery, 10)
		for _, group := range []string{"a", "b", ""} {
			subscribe(t, b, messaging.Source{Address: topic, Group: group, Keys: []string{"order.*"}}, collect(got))
		}
		msgs := keyed("order.eu", "invoice")
		start := time.Now()
		for _, m := range msgs {
			m.Delay = 350 * time.Millisecond
		}
		publish(t, b, topic, msgs...)
		publish(t, b, same, &messaging.Message{Key: "mine", Body: []byte("mine"), Delay: 10 * time.Millisecond})
		wantKeys(t, got, topic, "order.eu", "order.eu", "order.eu")
		if took := time.Since(start); took < 350*time.Millisecond || took > 1350*time.Millisecond {
			t.Errorf("a delay of 350ms took %s", took)
		}
		queue := make(chan messaging.Delivery, 10)
		subscribe(t, b, messaging.Source{Address: same}, collect(queue))
		wantKeys(t, queue, same, "mine")
		if len(got)+len(queue) > 0 {
			t.Errorf("%d to the groups and %d to the queue are too many", len(got), len(queue))
		}
	})
}

// TestDelayedToNobody: what nobody is bound for when its time comes is gone,
// and holds up nothing behind it.
func TestDelayedToNobody(t *testing.T) {
	b := open(t)
	q := declare(t, b)
	unbound, gone := topicOf(t), topicOf(t)
	for _, topic := range []messaging.Address{unbound, gone} {
		src := bind(t, b, topic, "g", "a")
		const delay = 150 * time.Millisecond
		publish(t, b, topic, &messaging.Message{Key: "b", Delay: delay}, &messaging.Message{Key: "a", Delay: delay})
		if err := b.Delete(t.Context(), src.Queue()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	stranded := messaging.Queue(delayStranded)
	before := ready(t, b, stranded)
	start := time.Now()
	publish(t, b, q, &messaging.Message{Delay: 150 * time.Millisecond})
	got := make(chan messaging.Delivery, 1)
	subscribe(t, b, messaging.Source{Address: q}, collect(got))
	next(t, got, "the message behind those for nobody")
	if took := time.Since(start); took > 1150*time.Millisecond {
		t.Errorf("a delay of 150ms took %s behind messages for nobody", took)
	}
	for _, level := range []string{levelName(0), levelName(1), delayUnbound} {
		holds(t, b, messaging.Queue(level), 0)
	}
	if n := ready(t, b, stranded); n != before {
		t.Errorf("%d messages are stranded", n-before)
	}
}

// whereMessagesAre has a node say how many each queue has, and what is bound to
// the last exchange of the wait queues.
const whereMessagesAre = `lists:flatten(io_lib:format("~p", [[{element(4, amqqueue:get_name(Q)), catch rabbit_amqqueue:info(Q, [messages])} || Q <- rabbit_amqqueue:list()]
	++ [{bound, element(4, element(4, B))} || B <- rabbit_binding:list_for_source({resource, <<"/">>, exchange, <<"warren.delay.deliver">>})]])).`

// TestDelayedTopicSurvivesKill: rule C14 for topics.
func TestDelayedTopicSurvivesKill(t *testing.T) {
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	b := openAt(t, node.URL())
	topic := topicOf(t)
	groups := []messaging.Source{bind(t, b, topic, "a"), bind(t, b, topic, "b")}
	msgs := keyed("k0", "k1", "k2", "k3", "k4")
	for i, m := range msgs {
		m.Delay = time.Duration(i+1) * time.Second
	}
	publish(t, b, topic, msgs...)
	// The names of new quorum queues reach the disk some seconds late, and maybe
	// bindings too; the messages do at once, and are what this is about.
	if out, err := node.Eval("[dets:sync(T) || T <- dets:all()], mnesia:sync_log()."); err != nil {
		t.Fatal(out, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(node.Eval(whereMessagesAre))
		}
	})
	node.Kill()
	if err := node.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, src := range groups {
		got := make(chan messaging.Delivery, 20)
		subscribe(t, b, src, collect(got))
		missing := []string{"k0", "k1", "k2", "k3", "k4"}
		for len(missing) > 0 {
			d := next(t, got, fmt.Sprintf("%v of group %s", missing, src.Group))
			missing = slices.DeleteFunc(missing, func(key string) bool { return key == d.Key })
		}
	}
}

// TestTopicWithoutExchange: nobody is bound to it, so that is no error, and
// nothing else that is being published notices.
func TestTopicWithoutExchange(t *testing.T) {
	b := open(t)
	q, topic := declare(t, b), topicOf(t)
	const n = 200
	errs := make(chan error, 2*n)
	for range n {
		go func() { errs <- b.Publish(t.Context(), topic, keyed("k")...) }()
		go func() { errs <- b.Publish(t.Context(), q, &messaging.Message{}) }()
	}
	for range 2 * n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	holds(t, b, q, n)
	publish(t, b, topic, &messaging.Message{Delay: time.Hour}, &messaging.Message{})
	if err := b.Publish(t.Context(), topic, &messaging.Message{Body: make([]byte, 17<<20)}); !errors.Is(err, messaging.ErrTooLarge) {
		t.Errorf("too large for a topic that nobody is bound to: %v", err)
	}
	src := bind(t, b, topic, "g") // now somebody is
	publish(t, b, topic, keyed("k")...)
	holds(t, b, src.Queue(), 1)
}

// TestTopicDeletedByOthers: this Broker believes that the exchange is there,
// and the broker closes its channel for it. What else was on the channel is
// sent again.
func TestTopicDeletedByOthers(t *testing.T) {
	b := open(t)
	ch := rawChannel(t, rabbitmqtest.URL(t))
	for _, name := range []string{"short", strings.Repeat("long", 55)} {
		q, topic := declare(t, b), messaging.Topic(name+"."+messaging.NewID()[24:])
		bind(t, b, topic, "g")
		publish(t, b, topic, keyed("k")...)
		if err := ch.ExchangeDelete(topic.Name(), false, false); err != nil {
			t.Fatal(err)
		}
		const n = 100
		errs := make(chan error, 2*n)
		go func() { errs <- b.Publish(t.Context(), topic, keyed(slices.Repeat([]string{"k"}, n)...)...) }()
		for range n {
			go func() { errs <- b.Publish(t.Context(), q, &messaging.Message{}) }()
		}
		for range n + 1 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		got := make(chan messaging.Delivery, 10*n)
		subscribe(t, b, messaging.Source{Address: q}, collect(got))
		seen := map[string]bool{}
		for len(seen) < n {
			seen[next(t, got, "a message that was published meanwhile").ID] = true
		}
	}
}

func TestThousandKeys(t *testing.T) {
	b := open(t)
	topic := topicOf(t)
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf("tenant.%d.#", i))
	}
	start := time.Now()
	src := bind(t, b, topic, "g", keys...)
	first := time.Since(start)
	bind(t, b, topic, "g", keys...)
	t.Logf("1000 bindings took %s, and %s when they were there", first, time.Since(start)-first)
	var sent []string
	for i := range 1100 {
		sent = append(sent, fmt.Sprintf("tenant.%d.x", i))
	}
	publish(t, b, topic, keyed(sent...)...)
	got := make(chan messaging.Delivery, 2000)
	subscribe(t, b, src, collect(got))
	wantKeys(t, got, topic, sent[:1000]...)
	empty(t, b, src.Queue())
}

func TestDeleteTopic(t *testing.T) {
	b := open(t)
	topic := topicOf(t)
	src := bind(t, b, topic, "g")
	publish(t, b, topic, keyed("a")...)
	for range 2 { // the second time there is nothing to delete
		if err := b.Delete(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, b, topic, keyed("b")...)
	got := make(chan messaging.Delivery, 10)
	subscribe(t, b, src, collect(got)) // declares it again
	publish(t, b, topic, keyed("c")...)
	wantKeys(t, got, topic, "a", "c")
}

func TestTopicErrors(t *testing.T) {
	b := open(t)
	ctx, topic := t.Context(), topicOf(t)
	_, inspect := b.Inspect(ctx, topic)
	_, purge := b.Purge(ctx, topic)
	_, get := b.Get(ctx, messaging.Source{Address: topic})
	for _, c := range []struct {
		err  error
		want string
	}{
		{inspect, "name the queue of a group, queue:" + topic.Name() + ".GROUP"},
		{purge, "name the queue of a group"},
		{get, "name a group"},
		{b.Bind(ctx, messaging.Source{Address: topic}), "Source.Group is empty"},
		{b.Bind(ctx, messaging.Source{Address: messaging.Queue("q")}), "only a topic has groups"},
		{b.Bind(ctx, messaging.Source{Address: messaging.Topic("amq.topic"), Group: "g"}), "are reserved for the broker"},
		{b.Subscribe(ctx, messaging.Source{Address: messaging.Topic("amq.unknown")}, collect(nil)), "are reserved for the broker"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v; want %q in it", c.err, c.want)
		}
	}
	if _, err := b.Get(ctx, messaging.Source{Address: topic, Group: "g"}); !errors.Is(err, messaging.ErrNotFound) {
		t.Errorf("get from a group that nobody has bound: %v", err)
	}
	got := make(chan messaging.Delivery, 1)
	src := messaging.Source{Address: messaging.Topic("amq.topic"), Keys: []string{topic.Name()}, AutoAck: true}
	subscribe(t, b, src, collect(got)) // an exchange of the broker's own will do
	publish(t, b, src.Address, keyed(topic.Name())...)
	wantKeys(t, got, src.Address, topic.Name())
}

// TestForeignKey: what another program publishes to an exchange that a queue of
// its own choice is bound to.
func TestForeignKey(t *testing.T) {
	b := open(t)
	q, topic := declare(t, b), topicOf(t)
	bind(t, b, topic, "g")
	ch := rawChannel(t, rabbitmqtest.URL(t))
	if err := ch.QueueBind(q.Name(), "a.*", topic.Name(), false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.PublishWithContext(t.Context(), topic.Name(), "a.b", false, false, amqp.Publishing{Body: []byte("a.b")}); err != nil {
		t.Fatal(err)
	}
	got := make(chan messaging.Delivery, 1)
	subscribe(t, b, messaging.Source{Address: q}, collect(got))
	wantKeys(t, got, q, "a.b")
}

// TestAutoAckLeavesNoDeadLetterQueue, also where a message cannot be decoded.
func TestAutoAckLeavesNoDeadLetterQueue(t *testing.T) {
	b := open(t, WithMarshaler(picky{}))
	q := declare(t, b)
	publish(t, b, q, texts("bad", 1)...)
	publish(t, b, q, texts("m", 1)...)
	got := make(chan messaging.Delivery, 1)
	sub := subscribe(t, b, messaging.Source{Address: q, AutoAck: true}, collect(got))
	if d := next(t, got, "the message that can be decoded"); string(d.Body) != "m0" {
		t.Errorf("%q", d.Body)
	}
	if err := sub.stop(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, q, texts("bad", 1)...)
	if _, err := b.Get(t.Context(), messaging.Source{Address: q, AutoAck: true}); !errors.Is(err, messaging.ErrEmpty) {
		t.Errorf("get of what cannot be decoded: %v", err)
	}
	empty(t, b, q)
	if _, err := b.Inspect(t.Context(), messaging.Queue(q.Name()+".dead")); !errors.Is(err, messaging.ErrNotFound) {
		t.Errorf("the dead-letter queue: %v", err)
	}
}
