package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

var topics = []Case{
	{Rule: "T1", Name: "T1_a_copy_for_each_group", run: t1Groups,
		Text: "each group gets one copy, shared by its subscribers; a private subscriber gets its own"},
	{Rule: "T1", Name: "T1_a_copy_of_its_own", run: t1Isolated,
		Text: "each group's copy is its own: what one group does with it, the others do not see"},
	{Rule: "T1", Name: "T1_failures_stay_in_the_group", run: t1Failures,
		Text: "a retry and a dead letter concern the group that failed, and no other"},
	{Rule: "T2", Name: "T2_bound_group_keeps", run: t2Keeps,
		Text: "a bound group keeps messages while nobody reads"},
	{Rule: "T2", Name: "T2_private_after_ready", run: t2Private,
		Text: "a private subscription gets what is published after Ready, and is gone when it ends"},
	{Rule: "T2", Name: "T2_private_ends_with_its_retries", run: t2PrivateEnds,
		Text: "a private subscription that ends does not wait for what was to be tried again: it is gone with it"},
	{Rule: "T2", Name: "T2_nobody_bound", run: t2Nobody,
		Text: "publishing to a topic that nobody is bound to is nil (rule P4)"},
	{Rule: "T2", Name: "T2_delayed", run: t2Delayed,
		Text: "a delayed message to a topic keeps its key and reaches every group after its delay"},
	{Rule: "T3", Name: "T3_patterns", run: t3Patterns,
		Text: `patterns match as in AMQP: words separated by dots, "*" exactly one, "#" zero or more`},
	{Rule: "T3", Name: "T3_once_for_many_patterns", run: t3Once,
		Text: "a message that several patterns of one group match is delivered to it once"},
}

// topic returns a topic that no other case uses.
func (e *env) topic() messaging.Address { return messaging.Topic(e.unique()) }

// bind creates a group.
func (e *env) bind(topic messaging.Address, group string, keys ...string) (messaging.Source, error) {
	src := messaging.Source{Address: topic, Group: group, Keys: keys, Retry: quick}
	if err := e.b.Bind(e.ctx, src); err != nil {
		return src, fmt.Errorf("bind %s to %s: %w", group, topic, err)
	}
	return src, nil
}

// drained returns what src's group has waiting, by reading up to a message
// that is published to the group's queue now.
func (e *env) drained(src messaging.Source) ([]messaging.Delivery, error) {
	in := newInbox()
	s, err := e.subscribe(src, in.accept)
	if err != nil {
		return nil, err
	}
	got, err := e.last(in, src.Queue())
	if err != nil {
		return got, err
	}
	return got, s.stop()
}

func t1Groups(e *env) error {
	topic := e.topic()
	a, err := e.bind(topic, "a")
	if err != nil {
		return err
	}
	b, err := e.bind(topic, "b")
	if err != nil {
		return err
	}
	private := newInbox()
	if _, err := e.subscribe(messaging.Source{Address: topic}, private.accept); err != nil {
		return err
	}
	shared := newInbox()
	for range 2 { // two subscribers of one group
		if _, err := e.subscribe(a, shared.accept); err != nil {
			return err
		}
	}
	const n = 20
	msgs := texts("m", n)
	for i, m := range msgs {
		m.Key = fmt.Sprintf("key.%d", i)
	}
	if err := e.publish(topic, msgs...); err != nil {
		return err
	}
	if err := e.each(shared, n, once, "the subscribers of group a together"); err != nil {
		return err
	}
	if err := e.each(private, n, same, "the private subscriber"); err != nil {
		return err
	}
	got, err := e.drained(b)
	if err != nil {
		return err
	}
	if err := same(got, bodies("m", n)); err != nil {
		return fmt.Errorf("group b: %w", err)
	}
	if d := got[3]; d.From != topic || d.Key != "key.3" || d.Attempt != 1 {
		return fmt.Errorf("received From %s, Key %q, Attempt %d", d.From, d.Key, d.Attempt)
	}
	return nil
}

// each checks that in gets messages m0, m1, ... and as many as were sent.
func (e *env) each(in inbox, n int, judge func([]messaging.Delivery, []string) error, who string) error {
	got, err := e.take(in, n)
	if err == nil {
		err = judge(got, bodies("m", n))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	return nil
}

func t1Isolated(e *env) error {
	topic := e.topic()
	var groups []messaging.Source
	for _, name := range []string{"a", "b"} {
		src, err := e.bind(topic, name)
		if err != nil {
			return err
		}
		groups = append(groups, src)
	}
	if err := e.publish(topic, &messaging.Message{Headers: map[string]string{"k": "v"}, Body: []byte("original")}); err != nil {
		return err
	}
	for _, src := range groups {
		p, err := messaging.Get(e.ctx, e.b, src)
		if err != nil {
			return err
		}
		if string(p.Body) != "original" || p.Headers["k"] != "v" {
			return fmt.Errorf("group %s received what another group made of it: body %q, header %q", src.Group, p.Body, p.Headers["k"])
		}
		copy(p.Body, "CHANGED!")
		p.Headers["k"] = "changed"
		if err := p.Settle(nil); err != nil {
			return err
		}
	}
	return nil
}

func t1Failures(e *env) error {
	topic := e.topic()
	failing, err := e.bind(topic, "failing")
	if err != nil {
		return err
	}
	other, err := e.bind(topic, "other")
	if err != nil {
		return err
	}
	if err := e.publish(topic, &messaging.Message{Key: "k", Body: []byte("m")}); err != nil {
		return err
	}
	in := newInbox()
	failing.Retry.MaxAttempts = 2
	s, err := e.subscribe(failing, in.fail)
	if err != nil {
		return err
	}
	letters, err := e.receive(messaging.Queue(failing.Queue().Name()+".dead"), 1)
	if err != nil {
		return fmt.Errorf("no dead letter: %w", err)
	}
	if err := s.stop(); err != nil {
		return err
	}
	if len(in) != 2 {
		return fmt.Errorf("it was handled %d times with MaxAttempts 2", len(in))
	}
	if err := deadHeaders(letters[0], failing.Queue(), messaging.ReasonAttempts, "on purpose", 2); err != nil {
		return err
	}
	got, err := e.drained(other)
	if err != nil {
		return err
	}
	if len(got) != 1 || got[0].Attempt != 1 {
		return fmt.Errorf("the other group received %s", list(got))
	}
	return nil
}

func t2Keeps(e *env) error {
	topic := e.topic()
	src, err := e.bind(topic, "g")
	if err != nil {
		return err
	}
	if err := e.publish(topic, texts("m", 10)...); err != nil {
		return err
	}
	if _, err := e.bind(topic, "g"); err != nil { // again: it is there, and keeps what it has
		return err
	}
	got, err := e.drained(src)
	if err != nil {
		return err
	}
	return same(got, bodies("m", 10))
}

func t2Private(e *env) error {
	topic := e.topic()
	if err := e.publish(topic, text("before anybody")); err != nil {
		return err
	}
	first, second := newInbox(), newInbox()
	s, err := e.subscribe(messaging.Source{Address: topic}, first.accept)
	if err != nil {
		return err
	}
	if err := e.publish(topic, text("m0")); err != nil {
		return err
	}
	if err := e.each(first, 1, same, "a private subscriber"); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if err := e.publish(topic, text("to nobody")); err != nil {
		return err
	}
	if _, err := e.subscribe(messaging.Source{Address: topic}, second.accept); err != nil {
		return err
	}
	if err := e.publish(topic, text("m0")); err != nil {
		return err
	}
	return e.each(second, 1, same, "a new private subscriber")
}

func t2PrivateEnds(e *env) error {
	topic := e.topic()
	running, release := make(chan struct{}, 1), make(chan struct{})
	e.atEnd(func() { close(release) })
	s, err := e.subscribe(messaging.Source{Address: topic}, func(context.Context, *messaging.Delivery) error {
		running <- struct{}{}
		<-release
		return errors.New("again")
	})
	if err != nil {
		return err
	}
	if err := e.publish(topic, text("m")); err != nil {
		return err
	}
	if err := e.wait(e.ctx, running, "the handler"); err != nil {
		return err
	}
	s.cancel()
	if _, err := e.bind(topic, "g"); err != nil { // by then, the broker has heard of the end
		return err
	}
	start := time.Now()
	release <- struct{}{}
	if err := s.stop(); err != nil {
		return err
	}
	if took := time.Since(start); took > cutTime+e.h.Slack {
		return fmt.Errorf("it took %s to end", took)
	}
	return nil
}

func t2Nobody(e *env) error {
	return e.publish(e.topic(), texts("m", 3)...)
}

func t2Delayed(e *env) error {
	topic := e.topic()
	in := newInbox()
	for _, group := range []string{"a", "b"} {
		src, err := e.bind(topic, group, "order.#")
		if err != nil {
			return err
		}
		if _, err := e.subscribe(src, in.accept); err != nil {
			return err
		}
	}
	const delay = 300 * time.Millisecond
	start := time.Now()
	if err := e.publish(topic, &messaging.Message{Key: "order.eu", Delay: delay, Body: []byte("m0")}); err != nil {
		return err
	}
	got, err := e.take(in, 2)
	if err != nil {
		return err
	}
	if took := time.Since(start); took < delay || took > delay+e.h.Accuracy+e.h.Slack {
		return fmt.Errorf("with a delay of %s it came after %s", delay, took)
	}
	for _, d := range got {
		if d.Key != "order.eu" || d.From != topic || string(d.Body) != "m0" {
			return fmt.Errorf("received %q from %s with key %q", d.Body, d.From, d.Key)
		}
	}
	return nil
}

// patternTable says which keys match which patterns.
var patternTable = []struct {
	pattern  string
	yes, not []string
}{
	{"#", []string{"", "a", "a.b.c"}, nil},
	{"a", []string{"a"}, []string{"", "b", "a.b", "A"}},
	{"*", []string{"a", "b"}, []string{"", "a.b"}},
	{"a.*", []string{"a.b", "a.c"}, []string{"a", "a.b.c", "b.a"}},
	{"*.b", []string{"a.b", "b.b"}, []string{"b", "a.b.b"}},
	{"a.#", []string{"a", "a.b", "a.b.c"}, []string{"", "b.a", "ab"}},
	{"#.c", []string{"c", "a.c", "a.b.c"}, []string{"", "c.a"}},
	{"a.#.c", []string{"a.c", "a.b.c", "a.b.b.c"}, []string{"a", "c", "a.c.b"}},
	{"*.#", []string{"a", "a.b"}, []string{""}},
	{"#.*", []string{"a", "a.b"}, []string{""}},
	{"#.#", []string{"", "a", "a.b"}, nil},
	{"*.*.#.c", []string{"a.b.c", "a.b.x.c"}, []string{"a.c", "a.b"}},
}

func t3Patterns(e *env) error {
	topic := e.topic()
	var keys []string
	known := map[string]bool{}
	var groups []messaging.Source
	for i, row := range patternTable {
		src, err := e.bind(topic, fmt.Sprintf("g%d", i), row.pattern)
		if err != nil {
			return err
		}
		groups = append(groups, src)
		for _, key := range append(append([]string{}, row.yes...), row.not...) {
			if !known[key] {
				known[key] = true
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		if err := e.publish(topic, &messaging.Message{Key: key, Body: []byte(key)}); err != nil {
			return err
		}
	}
	for i, row := range patternTable {
		got, err := e.drained(groups[i])
		if err != nil {
			return err
		}
		received := map[string]bool{}
		for _, d := range got {
			received[d.Key] = true
		}
		for _, key := range row.yes {
			if !received[key] {
				return fmt.Errorf("the pattern %q did not match the key %q", row.pattern, key)
			}
		}
		for _, key := range row.not {
			if received[key] {
				return fmt.Errorf("the pattern %q matched the key %q", row.pattern, key)
			}
		}
	}
	return nil
}

func t3Once(e *env) error {
	topic := e.topic()
	src, err := e.bind(topic, "g", "a.#", "*.b", "a.b")
	if err != nil {
		return err
	}
	if err := e.publish(topic, &messaging.Message{Key: "a.b", Body: []byte("m0")}); err != nil {
		return err
	}
	got, err := e.drained(src)
	if err != nil {
		return err
	}
	return same(got, []string{"m0"})
}
