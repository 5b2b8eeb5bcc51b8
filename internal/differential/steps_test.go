package differential

import (
	"fmt"
	"strings"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

func (s declare) do(r *run) string {
	spec := messaging.QueueSpec{
		Name: r.prefix + s.Queue, MaxLength: s.Max, TTL: s.TTL,
		SingleActive: s.SingleActive, Exclusive: s.Exclusive, AutoDelete: s.AutoDelete,
	}
	if s.DropOldest {
		spec.Overflow = messaging.DropOldest
	}
	return outcome(r.broker.Declare(r.ctx, spec))
}

// margin is what RabbitMQ may take longer than a TTL. What has become of a
// message then does not always show at once.
const margin = 200 * time.Millisecond

func (s publish) do(r *run) string {
	var msgs []*messaging.Message
	var ttl, delay time.Duration
	for i, m := range s.Msgs {
		msgs = append(msgs, m.make(fmt.Sprintf("%d.%d %s", r.at, i, m.Script), s.Key))
		if m.Late {
			msgs[i].Delay = r.late
			r.isLate()
		}
		ttl, delay = max(ttl, m.TTL), max(delay, m.Delay)
	}
	result := outcome(r.broker.Publish(r.ctx, r.address(s.To), msgs...))
	if !r.due.IsZero() {
		r.last = r.fence.after(r.late)
	}
	r.untilOver(ttl, delay)
	return result
}

func (s elapse) do(r *run) string {
	r.fence.await(r.last)
	r.due = time.Time{}
	return ""
}

// richTime has a fraction of a second, which AMQP's own timestamp does not.
var richTime = time.UnixMilli(1_700_000_000_123).UTC()

func (m message) make(id, key string) *messaging.Message {
	out := &messaging.Message{ID: id, Key: key, Body: []byte(id), TTL: m.TTL, Delay: m.Delay}
	switch m.Kind {
	case rich:
		out.Type, out.ContentType, out.CorrelationID, out.ReplyTo = "order.placed", "text/plain; charset=utf-8", "c", "somewhere"
		out.Time = richTime
		out.Headers = map[string]string{
			"plain": "value", "empty": "", "ünï": "cödé", "CC": "a", "x-death": "no", "x-delay": "1",
			"_watermill_message_uuid": "other", "x-warren-failures": "7", "warren-to": "b", "bytes": "\x00\xff",
			messaging.HeaderDeadReason: "not yet",
		}
		out.Body = []byte{0, 0xff, 0xfe, '\n'}
	case empty:
		out.Body = nil
	case large:
		out.Body = make([]byte, sizeLimit+1)
	case wide:
		out.Headers = map[string]string{"wide": strings.Repeat("x", 200_000)}
	case bad:
		out.Headers = map[string]string{"": "no key"}
	}
	return out
}

// queue is the name of the queue that a subscription's messages wait in.
func (s subscribe) queue() string {
	topic, isTopic := strings.CutPrefix(s.From, topicPrefix)
	switch {
	case !isTopic:
		return s.From
	case s.Group != "":
		return topic + "." + s.Group
	default:
		return fmt.Sprintf("private %d", s.Slot)
	}
}

// retry waits as little as RabbitMQ can.
func (r *run) retry(attempts int, dead string) messaging.Retry {
	return messaging.Retry{MaxAttempts: attempts, Min: shortWait, Max: shortWait, DeadLetter: r.optional(dead)}
}

func (s subscribe) do(r *run) string {
	return r.subscribe(s, messaging.Source{
		Address: r.address(s.From), Group: s.Group, Keys: s.Keys,
		Concurrency: s.Concurrency, Prefetch: s.Prefetch, AutoAck: s.AutoAck,
		Retry: r.retry(s.Attempts, s.Dead),
	})
}

func (s release) do(r *run) string {
	sub := r.subs[s.Slot]
	if sub == nil {
		return "nothing there"
	}
	r.open(sub.queue)
	return "released"
}

func (s cancel) do(r *run) string {
	sub := r.subs[s.Slot]
	if sub == nil {
		return "nothing there"
	}
	delete(r.subs, s.Slot)
	return r.end(sub)
}

func (s get) do(r *run) string {
	p, err := messaging.Get(r.ctx, r.broker, messaging.Source{
		Address: r.address(s.From), AutoAck: s.AutoAck, Retry: r.retry(s.Attempts, ""),
	})
	if err == nil {
		r.took(s.Slot, p)
	}
	return outcome(err)
}

// do settles twice: the second time must be refused, and do nothing.
func (s settle) do(r *run) string {
	p := r.gets[s.Slot]
	if p == nil {
		return "nothing there"
	}
	delete(r.gets, s.Slot)
	r.comesBack("got "+p.ID, s.Verdict) // or not, which costs a moment
	first := outcome(p.Settle(verdict(s.Verdict)))
	return first + ", then " + outcome(p.Settle(nil))
}

func (s purge) do(r *run) string {
	var err error
	r.count, err = r.broker.Purge(r.ctx, r.queue(s.Queue))
	return outcome(err)
}

func (s remove) do(r *run) string {
	return outcome(r.broker.Delete(r.ctx, r.address(s.What)))
}

func (s bind) do(r *run) string {
	return outcome(r.broker.Bind(r.ctx, messaging.Source{
		Address: messaging.Topic(r.prefix + s.Topic), Group: s.Group, Keys: s.Keys,
	}))
}

func (s redrive) do(r *run) string {
	n, err := messaging.Redrive(r.ctx, r.broker, r.queue(s.From), messaging.RedriveOptions{Max: s.Max, To: r.optional(s.To)})
	return fmt.Sprintf("%d, %s", n, outcome(err))
}

func (s survey) do(r *run) string {
	var parts []string
	for _, name := range names {
		if _, err := r.broker.Inspect(r.ctx, r.queue(name)); err != nil {
			parts = append(parts, name+": "+outcome(err))
		}
	}
	return strings.Join(parts, ", ")
}
