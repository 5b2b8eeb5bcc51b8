package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

var publishing = []Case{
	{Rule: "P1", Name: "P1_stored", run: p1Stored,
		Text: "nil means: every message reached its queue, and the broker has confirmed that it stored it"},
	{Rule: "P1", Name: "P1_everything_kept", run: p1Everything,
		Text: "what is stored is the whole message: body, headers and every property"},
	{Rule: "P2", Name: "P2_order", run: p2Order,
		Text: "the messages of one call, and of successive calls of one goroutine to one address, are enqueued in order"},
	{Rule: "P3", Name: "P3_failed_are_named", run: p3Named,
		Text: "on failure the error is a *PublishError that names exactly the messages that failed; the others are stored"},
	{Rule: "P4", Name: "P4_unroutable", run: p4Unroutable,
		Text: "a queue that does not exist is ErrUnroutable, and Publish declares nothing"},
	{Rule: "P4", Name: "P4_unroutable_delayed", run: p4Delayed,
		Text: "a queue that does not exist is ErrUnroutable, for a delayed message too"},
	{Rule: "P5", Name: "P5_returns_when_ctx_ends", run: p5Returns,
		Text: "when ctx ends, Publish returns within 50 ms"},
	{Rule: "P5", Name: "P5_unconfirmed", run: p5Unconfirmed,
		Text: "what was written but not confirmed when ctx ends is ErrUnconfirmed: it may or may not be stored"},
	{Rule: "P5", Name: "P5_ctx_ended_before", run: p5EndedBefore,
		Text: "a Publish whose ctx has ended before sends nothing"},
	{Rule: "P6", Name: "P6_waits_for_connection", run: p6Waits,
		Text: "while the connection is down Publish waits, then sends under the same ID"},
	{Rule: "P6", Name: "P6_sends_again", run: p6SendsAgain,
		Text: "what was sent and not confirmed when the connection broke is sent again, under the same ID"},
	{Rule: "P7", Name: "P7_blocked", run: p7Blocked, alone: true,
		Text: "a broker that blocks publishers makes Publish wait, with ErrBlocked in the chain when ctx ends; consumers keep working"},
	{Rule: "P8", Name: "P8_too_large", run: p8TooLarge,
		Text: "a message over the size limit is ErrTooLarge before anything is sent, the other messages unaffected"},
	{Rule: "P9", Name: "P9_full_queue", run: p9Full,
		Text: "a full queue that rejects is ErrRejected, and takes messages again when there is room"},
	{Rule: "P10", Name: "P10_caller_may_change", run: p10Change,
		Text: "after Publish returns, the caller may change the message and its body; nobody sees that"},
	{Rule: "P11", Name: "P11_many_goroutines", run: p11Many,
		Text: "any number of goroutines may publish at once through one Broker"},
}

func p1Stored(e *env) error {
	q, err := e.filled(10)
	if err != nil {
		return err
	}
	for _, want := range bodies("m", 10) {
		p, err := e.get(q)
		if err != nil {
			return fmt.Errorf("Publish returned nil, but %q cannot be got: %w", want, err)
		}
		if string(p.Body) != want {
			return fmt.Errorf("got %q, published %q", p.Body, want)
		}
	}
	return e.empty(q)
}

func p1Everything(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	sent := &messaging.Message{
		ID: messaging.NewID(), Type: "order.placed", ContentType: "text/plain; charset=utf-8",
		CorrelationID: "c-1", ReplyTo: "answers", Key: "a.b", Time: time.UnixMilli(1_700_000_000_123).UTC(), TTL: time.Hour,
		Headers: map[string]string{"Name": "Wörk", "empty": "", "x-custom": "1"}, Body: []byte("\x00\xff 哈囉"),
	}
	blank := &messaging.Message{}
	if err := e.publish(q, sent, blank); err != nil {
		return err
	}
	if blank.ID == "" || blank.Time.IsZero() {
		return errors.New("Publish did not fill in the ID and the Time of a message that had none")
	}
	got, err := e.receive(q, 2)
	if err != nil {
		return err
	}
	if err := sameMessage(got[0].Message, *sent); err != nil {
		return err
	}
	if got[0].From != q || got[0].Attempt != 1 || got[0].Redelivered {
		return fmt.Errorf("the first delivery is From %s, Attempt %d, Redelivered %t", got[0].From, got[0].Attempt, got[0].Redelivered)
	}
	return sameMessage(got[1].Message, *blank)
}

func sameMessage(got, want messaging.Message) error {
	got.Key, want.Key = "", "" // means something on topics only
	g, w := fmt.Sprintf("%#v", flat(got)), fmt.Sprintf("%#v", flat(want))
	if g != w {
		return fmt.Errorf("received\n\t%s\npublished\n\t%s", g, w)
	}
	return nil
}

// flat makes a message comparable by its text: nil and empty are the same.
func flat(m messaging.Message) messaging.Message {
	m.Time = time.UnixMilli(m.Time.UnixMilli()).UTC()
	m.Body = append([]byte{}, m.Body...)
	if m.Headers == nil {
		m.Headers = map[string]string{}
	}
	return m
}

func p2Order(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	const calls, each = 20, 25
	var want []string
	for i := range calls {
		prefix := fmt.Sprintf("%d-", i)
		want = append(want, bodies(prefix, each)...)
		if err := e.publish(q, texts(prefix, each)...); err != nil {
			return err
		}
	}
	got, err := e.receive(q, len(want))
	if err != nil {
		return err
	}
	return same(got, want)
}

// fullQueue declares a queue of n messages and fills it. It returns the bodies
// that it has stored: a replicated queue counts late and takes more than n.
func (e *env) fullQueue(n int) (messaging.Address, []string, error) {
	q, err := e.queue(func(s *messaging.QueueSpec) { s.MaxLength = n })
	if err != nil {
		return q, nil, err
	}
	const most, inARow = 1000, 5 // so that each of a few channels has been told
	var stored []string
	rejected := 0
	for i := 0; rejected < inARow; i++ {
		if i == most {
			return q, nil, fmt.Errorf("a queue of %d has taken %d messages", n, len(stored))
		}
		body := fmt.Sprintf("filler%d", i)
		switch err := e.b.Publish(e.ctx, q, text(body)); {
		case err == nil:
			stored, rejected = append(stored, body), 0
		case errors.Is(err, messaging.ErrRejected):
			rejected++
		default:
			return q, nil, fmt.Errorf("a full queue gave %w, not ErrRejected", err)
		}
	}
	if len(stored) < n {
		return q, nil, fmt.Errorf("a queue of %d was full with %d messages", n, len(stored))
	}
	return q, stored, nil
}

func p3Named(e *env) error {
	if err := need(e.rig.MaxSize > 0, "MaxSize"); err != nil {
		return err
	}
	full, stored, err := e.fullQueue(5)
	if err != nil {
		return err
	}
	if err := e.namesFailed(full, stored, texts("m", 10)); err != nil {
		return fmt.Errorf("10 messages to a full queue: %w", err)
	}
	free, err := e.queue()
	if err != nil {
		return err
	}
	msgs := texts("m", 6)
	msgs[1].Body, msgs[4].Body = make([]byte, e.rig.MaxSize+1), make([]byte, e.rig.MaxSize+1)
	if err := e.namesFailed(free, nil, msgs); err != nil {
		return fmt.Errorf("2 of 6 messages too large: %w", err)
	}
	return nil
}

// namesFailed publishes msgs, some of which must fail, to q, and checks that
// what the error does not name is in q behind what was there before, and
// nothing else.
func (e *env) namesFailed(q messaging.Address, before []string, msgs []*messaging.Message) error {
	err := e.b.Publish(e.ctx, q, msgs...)
	var failure *messaging.PublishError
	if !errors.As(err, &failure) || len(failure.Failed) == 0 {
		return fmt.Errorf("gave %v, not a *PublishError that names messages", err)
	}
	if failure.To != q {
		return fmt.Errorf("the error's address is %s, not %s", failure.To, q)
	}
	failed := map[string]bool{}
	for _, f := range failure.Failed {
		if f.Index < 0 || f.Index >= len(msgs) || msgs[f.Index].ID != f.ID || f.Err == nil {
			return fmt.Errorf("the error names message %d with ID %q and error %v, which is not that message", f.Index, f.ID, f.Err)
		}
		failed[f.ID] = true
	}
	want := before
	for _, m := range msgs {
		if !failed[m.ID] {
			want = append(want, string(m.Body))
		}
	}
	for _, w := range want {
		if p, err := e.get(q); err != nil || string(p.Body) != w {
			return fmt.Errorf("%.20q was not named as failed and is not next in the queue: %v", w, err)
		}
	}
	return e.empty(q)
}

func p4Unroutable(e *env) error { return unroutable(e, text("lost?")) }

func p4Delayed(e *env) error {
	return unroutable(e, &messaging.Message{Delay: time.Second, Body: []byte("lost?")})
}

func unroutable(e *env, m *messaging.Message) error {
	q := messaging.Queue(e.unique())
	err := e.b.Publish(e.ctx, q, m)
	var failure *messaging.PublishError
	if !errors.Is(err, messaging.ErrUnroutable) || !errors.As(err, &failure) {
		return fmt.Errorf("publishing to a queue that does not exist gave %v, not a *PublishError with ErrUnroutable", err)
	}
	if _, err := e.b.Inspect(e.ctx, q); !errors.Is(err, messaging.ErrNotFound) {
		return fmt.Errorf("after an unroutable Publish, Inspect gave %v, not ErrNotFound", err)
	}
	return nil
}

// returnTime is what rule P5 allows.
const returnTime = 50 * time.Millisecond

// publishUntil publishes with a deadline, and checks that Publish keeps it. Only
// then has its result the error of Publish in its chain.
func (e *env) publishUntil(timeout time.Duration, q messaging.Address, m *messaging.Message) error {
	ctx, cancel := context.WithTimeout(e.ctx, timeout)
	defer cancel()
	err := e.b.Publish(ctx, q, m)
	deadline, _ := ctx.Deadline()
	if late := time.Since(deadline); late > returnTime+e.h.Slack {
		return fmt.Errorf("returned %s after ctx ended: %v", late, err)
	}
	if err == nil {
		return errors.New("returned nil")
	}
	var failure *messaging.PublishError
	if !errors.As(err, &failure) || !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("returned %v, not a *PublishError with context.DeadlineExceeded in its chain", err)
	}
	return err
}

func p5Returns(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	q, err := e.queue()
	if err != nil {
		return err
	}
	e.rig.Disconnect()
	defer e.rig.Reconnect()
	var failure *messaging.PublishError
	if err := e.publishUntil(200*time.Millisecond, q, text("m")); !errors.As(err, &failure) {
		return fmt.Errorf("with the broker away, Publish %w", err)
	}
	return nil
}

// warm declares a queue, and publishes often enough for every channel of the
// adapter to be open. It leaves the queue empty.
func (e *env) warm() (messaging.Address, error) {
	q, err := e.queue()
	for i := 0; i < 16 && err == nil; i++ {
		if err = e.publish(q, text("warm")); err == nil {
			_, err = e.get(q)
		}
	}
	return q, err
}

func p5Unconfirmed(e *env) error {
	if err := need(e.rig.HoldConfirms != nil, "HoldConfirms"); err != nil {
		return err
	}
	q, err := e.warm()
	if err != nil {
		return err
	}
	e.rig.HoldConfirms()
	defer e.rig.ReleaseConfirms()
	if err := e.publishUntil(200*time.Millisecond, q, text("m")); !errors.Is(err, messaging.ErrUnconfirmed) {
		return fmt.Errorf("with confirmations held back, Publish %w, not ErrUnconfirmed", err)
	}
	return nil
}

func p5EndedBefore(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	if err := e.b.Publish(ctx, q, text("m")); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("with a cancelled ctx, Publish returned %v", err)
	}
	return e.empty(q)
}

// publishing in the background; the channel gets what Publish returned.
func (e *env) publishAsync(q messaging.Address, m *messaging.Message) <-chan error {
	result := make(chan error, 1)
	go func() { result <- e.b.Publish(e.ctx, q, m) }()
	return result
}

// publishWaits starts a Publish that must wait, and gives it a moment not to.
func (e *env) publishWaits(q messaging.Address, m *messaging.Message) (<-chan error, error) {
	result := e.publishAsync(q, m)
	moment := time.NewTimer(100 * time.Millisecond)
	defer moment.Stop()
	select {
	case err := <-result:
		return nil, fmt.Errorf("Publish did not wait, and returned %v", err)
	case <-moment.C:
		return result, nil
	}
}

func p6Waits(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	q, err := e.queue()
	if err != nil {
		return err
	}
	e.rig.Disconnect()
	m := &messaging.Message{ID: messaging.NewID(), Body: []byte("m")}
	result, err := e.publishWaits(q, m)
	if err != nil {
		return fmt.Errorf("with the broker away: %w", err)
	}
	e.rig.Reconnect()
	return e.storedAs(q, m, result)
}

// storedAs checks that Publish succeeded and m is in q under its ID.
func (e *env) storedAs(q messaging.Address, m *messaging.Message, result <-chan error) error {
	if err := <-result; err != nil {
		return fmt.Errorf("after the broker came back, Publish returned %w", err)
	}
	p, err := e.get(q)
	if err != nil {
		return fmt.Errorf("Publish returned nil, but the message cannot be got: %w", err)
	}
	if p.ID != m.ID {
		return fmt.Errorf("published under ID %s, received under %s", m.ID, p.ID)
	}
	return nil
}

func p6SendsAgain(e *env) error {
	if err := need(e.rig.HoldConfirms != nil && e.rig.Disconnect != nil, "HoldConfirms and Disconnect"); err != nil {
		return err
	}
	q, err := e.warm()
	if err != nil {
		return err
	}
	e.rig.HoldConfirms()
	m := &messaging.Message{ID: messaging.NewID(), Body: []byte("m")}
	result, err := e.publishWaits(q, m)
	if err != nil {
		return fmt.Errorf("with confirmations held back: %w", err)
	}
	e.rig.Disconnect()
	e.rig.ReleaseConfirms()
	e.rig.Reconnect()
	return e.storedAs(q, m, result)
}

func p7Blocked(e *env) error {
	if err := need(e.rig.Block != nil, "Block"); err != nil {
		return err
	}
	q, err := e.filled(3)
	if err != nil {
		return err
	}
	var once sync.Once
	defer once.Do(e.rig.Unblock)
	e.rig.Block()
	other, err := e.queue()
	if err != nil {
		return err
	}
	if err := e.untilBlocked(other); !errors.Is(err, messaging.ErrBlocked) {
		return fmt.Errorf("while publishers are blocked, Publish %w, not ErrBlocked", err)
	}
	if h := e.b.Health(); !h.Blocked {
		return fmt.Errorf("while publishers are blocked, Health says %s", h)
	}
	got, err := e.receive(q, 3)
	if err != nil {
		return fmt.Errorf("while publishers are blocked, consumers must keep working: %w", err)
	}
	if err := same(got, bodies("m", 3)); err != nil {
		return err
	}
	free, err := e.queue()
	if err != nil {
		return err
	}
	m := text("waits")
	result := e.publishAsync(free, m)
	once.Do(e.rig.Unblock)
	return e.storedAs(free, m, result)
}

// untilBlocked publishes until that fails: a broker may take what comes before
// every connection has heard of the alarm.
func (e *env) untilBlocked(q messaging.Address) error {
	err := e.again("a Publish to fail", func() bool {
		ctx, cancel := context.WithTimeout(e.ctx, time.Second)
		defer cancel()
		return e.b.Publish(ctx, q, text("taken")) != nil
	})
	if err != nil {
		return err
	}
	return e.publishUntil(time.Second, q, text("held"))
}

func p8TooLarge(e *env) error {
	if err := need(e.rig.MaxSize > 0, "MaxSize"); err != nil {
		return err
	}
	q, err := e.queue()
	if err != nil {
		return err
	}
	body := text(strings.Repeat("x", e.rig.MaxSize+1))
	headers := &messaging.Message{Headers: map[string]string{"k": strings.Repeat("x", messaging.MaxHeadersSize)}}
	full := text("b") // as much as there may be
	full.Headers = map[string]string{"k": strings.Repeat("x", messaging.MaxHeadersSize-len("k")-6)}
	err = e.b.Publish(e.ctx, q, text("a"), body, full, headers, text("c"))
	var failure *messaging.PublishError
	if !errors.As(err, &failure) || len(failure.Failed) != 2 || failure.Failed[0].Index != 1 || failure.Failed[1].Index != 3 {
		return fmt.Errorf("a body of %d bytes (message 1) and headers of more than %d (message 3) gave %v, not a *PublishError with these two",
			len(body.Body), messaging.MaxHeadersSize, err)
	}
	for _, f := range failure.Failed {
		if !errors.Is(f.Err, messaging.ErrTooLarge) {
			return fmt.Errorf("message %d gave %w, not ErrTooLarge", f.Index, f.Err)
		}
	}
	got, err := e.receive(q, 3)
	if err != nil {
		return err
	}
	return same(got, []string{"a", "b", "c"})
}

func p9Full(e *env) error {
	q, stored, err := e.fullQueue(5)
	if err != nil {
		return err
	}
	for range len(stored) {
		if _, err := e.get(q); err != nil {
			return err
		}
	}
	if err := e.b.Publish(e.ctx, q, text("after")); err != nil {
		return fmt.Errorf("with room in the queue again: %w", err)
	}
	return nil
}

func p10Change(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	return e.changed(q, q)
}

// changed publishes to an address, changes the message, and looks at what has
// come in q.
func (e *env) changed(to, q messaging.Address) error {
	m := &messaging.Message{Type: "t", Headers: map[string]string{"k": "v"}, Body: []byte("original")}
	if err := e.publish(to, m); err != nil {
		return err
	}
	m.Type, m.Headers["k"] = "changed", "changed"
	copy(m.Body, "CHANGED!")
	got, err := e.receive(q, 1)
	if err != nil {
		return err
	}
	if d := got[0]; string(d.Body) != "original" || d.Headers["k"] != "v" || d.Type != "t" {
		return fmt.Errorf("changed after Publish had returned, and received as body %q, header %q, type %q", d.Body, d.Headers["k"], d.Type)
	}
	return nil
}

func p11Many(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	const goroutines, calls = 32, 20
	failures := make(chan error, goroutines)
	for g := range goroutines {
		go func() {
			var err error
			for i := 0; i < calls && err == nil; i++ {
				err = e.b.Publish(e.ctx, q, text(fmt.Sprintf("%d:%d", g, i)))
			}
			failures <- err
		}()
	}
	for range goroutines {
		if err := <-failures; err != nil {
			return err
		}
	}
	got, err := e.receive(q, goroutines*calls)
	if err != nil {
		return err
	}
	return inOrderPerPrefix(got, goroutines*calls)
}

// inOrderPerPrefix checks bodies of the form PREFIX:NUMBER: the numbers of one
// prefix are 0, 1, 2, ...
func inOrderPerPrefix(got []messaging.Delivery, n int) error {
	if len(got) != n {
		return fmt.Errorf("%d messages came, %d were sent", len(got), n)
	}
	next := map[string]int{}
	for _, d := range got {
		prefix, number, _ := strings.Cut(string(d.Body), ":")
		if want := fmt.Sprint(next[prefix]); number != want {
			return fmt.Errorf("of %s, %s came where %s was next", prefix, number, want)
		}
		next[prefix]++
	}
	return nil
}
