package rabbitmq

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestQueueConfig(t *testing.T) {
	type flags struct{ durable, exclusive, autoDelete bool }
	for name, c := range map[string]struct {
		spec      messaging.QueueSpec
		queueType string
		major     int
		flags     flags
		args      amqp.Table
	}{
		"zero": {messaging.QueueSpec{}, queueTypeQuorum, 3, flags{durable: true}, amqp.Table{"x-queue-type": "quorum"}},
		"zero on 4": {messaging.QueueSpec{}, queueTypeQuorum, 4, flags{durable: true},
			amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(-1)}},
		"classic":     {messaging.QueueSpec{}, queueTypeClassic, 4, flags{durable: true}, amqp.Table{"x-queue-type": "classic"}},
		"transient":   {messaging.QueueSpec{Transient: true}, queueTypeQuorum, 4, flags{}, amqp.Table{"x-queue-type": "classic"}},
		"exclusive":   {messaging.QueueSpec{Exclusive: true}, queueTypeQuorum, 4, flags{exclusive: true}, amqp.Table{"x-queue-type": "classic"}},
		"auto-delete": {messaging.QueueSpec{AutoDelete: true}, queueTypeQuorum, 4, flags{durable: true, autoDelete: true}, amqp.Table{"x-queue-type": "classic"}},
		"all limits": {messaging.QueueSpec{MaxLength: 5, TTL: 1500 * time.Microsecond, SingleActive: true}, queueTypeQuorum, 3, flags{durable: true},
			amqp.Table{"x-queue-type": "quorum", "x-max-length": int64(5), "x-overflow": "reject-publish", "x-message-ttl": int64(2), "x-single-active-consumer": true}},
		"drop oldest": {messaging.QueueSpec{MaxLength: 5, Overflow: messaging.DropOldest}, queueTypeQuorum, 3, flags{durable: true},
			amqp.Table{"x-queue-type": "quorum", "x-max-length": int64(5), "x-overflow": "drop-head"}},
	} {
		c.spec.Name = "hello"
		got := queueConfig(c.spec, c.queueType, c.major)
		if f := (flags{got.Queue.Durable, got.Queue.Exclusive, got.Queue.AutoDelete}); f != c.flags {
			t.Errorf("%s: %+v, want %+v", name, f, c.flags)
		}
		if !reflect.DeepEqual(got.Queue.Arguments, c.args) {
			t.Errorf("%s: %v, want %v", name, got.Queue.Arguments, c.args)
		}
		if q, x, k := got.Queue.GenerateName("hello"), got.Exchange.GenerateName("hello"), got.Publish.GenerateRoutingKey("hello"); q != "hello" || x != "" || k != "hello" {
			t.Errorf("%s: queue %q, exchange %q, routing key %q", name, q, x, k)
		}
	}
}

func TestDelayLevels(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		units uint
		enter string
		bits  string
	}{
		{1, 1, "warren.delay.0", "0"},
		{100 * time.Millisecond, 1, "warren.delay.0", "0"},
		{101 * time.Millisecond, 2, "warren.delay.1", "1"},
		{time.Second, 10, "warren.delay.3", "1 3"},
		{1100 * time.Millisecond, 11, "warren.delay.3", "0 1 3"},
		{time.Hour, 36000, "warren.delay.15", "5 7 10 11 15"},
		{messaging.MaxDelay, 25920000, "warren.delay.24", "9 15 16 17 19 23 24"},
	} {
		if got := delayUnits(c.delay); got != c.units {
			t.Errorf("%s: %d units, want %d", c.delay, got, c.units)
		}
		o := delayed(amqp.Publishing{Headers: amqp.Table{}, Expiration: "5"}, "hello", c.delay)
		var set []string
		var total time.Duration
		for level := range maxLevel + 1 {
			if o.publishing.Headers[levelHeader(level)] == "1" {
				set = append(set, strings.TrimPrefix(levelHeader(level), delayHeaderPrefix))
				total += levelTTL(level)
			}
		}
		if bits := strings.Join(set, " "); bits != c.bits || o.exchange != c.enter || !o.mandatory || o.publishing.Headers[headerTo] != "hello" {
			t.Errorf("%s: levels %s by %s, want %s by %s", c.delay, bits, o.exchange, c.bits, c.enter)
		}
		if total < c.delay || total > c.delay+delayUnit+(maxLevel+1)*time.Millisecond {
			t.Errorf("%s: the wait queues hold it for %s", c.delay, total)
		}
	}
}

func TestLevelConfig(t *testing.T) {
	for level, next := range map[int]string{0: "warren.delay.deliver", 1: "warren.delay.0", 24: "warren.delay.23"} {
		c := levelConfig(level, 4)
		if got := c.Exchange.Arguments["alternate-exchange"]; got != next {
			t.Errorf("level %d: what does not wait goes to %v, not %s", level, got, next)
		}
		if got := c.Queue.Arguments["x-dead-letter-exchange"]; got != next {
			t.Errorf("level %d: what has waited goes to %v, not %s", level, got, next)
		}
		for key, want := range map[string]any{"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-delivery-limit": int64(-1)} {
			if c.Queue.Arguments[key] != want {
				t.Errorf("level %d: %s is %v", level, key, c.Queue.Arguments[key])
			}
		}
		if !c.Queue.Durable || !c.Exchange.Durable || c.Exchange.Type != "headers" {
			t.Errorf("level %d: %+v", level, c)
		}
	}
}

func TestMismatchNamesTheProperty(t *testing.T) {
	for reason, want := range map[string]string{
		"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current is the value '5' of type 'long'": "MaxLength (x-max-length): received none but current is the value '5' of type 'long'",
		"PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'it's' in vhost '/': received 'true' but current is 'false'":                      "Transient (durable): received 'true' but current is 'false'",
		"PRECONDITION_FAILED - inequivalent arg 'x-new' for queue 'q' in vhost 'v': received the value '1' of type 'signedint' but current is none":   "x-new: received",
	} {
		err := mismatch(&amqp.Error{Code: 406, Reason: reason, Server: true})
		if !errors.Is(err, messaging.ErrMismatch) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if err := mismatch(&amqp.Error{Code: 406, Reason: "PRECONDITION_FAILED - invalid property 'x' for queue", Server: true}); errors.Is(err, messaging.ErrMismatch) {
		t.Errorf("%v is no mismatch", err)
	}
}

func TestExplain(t *testing.T) {
	for code, want := range map[int]error{
		311: messaging.ErrTooLarge, 312: messaging.ErrUnroutable, 404: messaging.ErrNotFound, 540: errors.ErrUnsupported,
	} {
		err := explain(&amqp.Error{Code: code, Reason: "R", Server: true})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "R") {
			t.Errorf("%d: %v", code, err)
		}
		if again := explain(err); again.Error() != err.Error() {
			t.Errorf("%d: explained twice: %v", code, again)
		}
	}
	for reason, want := range map[string]error{ // as RabbitMQ words them
		"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection":              messaging.ErrMismatch,
		"RESOURCE_LOCKED - cannot obtain access to queue 'q' in vhost '/'. basic.get operations are not supported by quorum queues with single active consumer": errors.ErrUnsupported,
	} {
		if err := explain(&amqp.Error{Code: 405, Reason: reason, Server: true}); !errors.Is(err, want) {
			t.Errorf("%v; want %v", err, want)
		}
	}
	locked := explain(&amqp.Error{Code: 405, Reason: "RESOURCE_LOCKED", Server: true})
	if errors.Is(locked, messaging.ErrMismatch) || errors.Is(locked, errors.ErrUnsupported) || !strings.Contains(locked.Error(), "locked") {
		t.Errorf("with no reason that is known: %v", locked)
	}
	if err := errors.New("x"); explain(err).Error() != "x" || explain(nil) != nil {
		t.Error("what is no reply was changed")
	}
}

// TestGetFromSingleActive: the error of a Get that would bypass the active
// consumer does not speak of another connection.
func TestGetFromSingleActive(t *testing.T) {
	b := openAt(t, rabbitmqtest.URL(t)+"?queue_type=quorum")
	q := declare(t, b, func(q *messaging.QueueSpec) { q.SingleActive = true })
	_, err := b.Get(t.Context(), messaging.Source{Address: q})
	if !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, messaging.ErrMismatch) || !strings.Contains(err.Error(), "one active consumer") {
		t.Errorf("%v", err)
	}
}
