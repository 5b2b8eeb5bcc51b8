package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

var consuming = []Case{
	{Rule: "C1", Name: "C1_competing", run: c1Competing,
		Text: "every message is handled by one consumer of its queue"},
	{Rule: "C1", Name: "C1_by_readiness", run: c1Readiness,
		Text: "consumers of one queue share by readiness: a busy one gets no more than its prefetch"},
	{Rule: "C2", Name: "C2_concurrency", run: c2Concurrency,
		Text: "at most Concurrency handlers run at once, and with enough messages exactly that many"},
	{Rule: "C3", Name: "C3_queue_order", run: c3Order,
		Text: "Concurrency 1 handles in queue order"},
	{Rule: "C3", Name: "C3_order_by_key", run: c3OrderBy,
		Text: "OrderBy keeps the order per key at any concurrency"},
	{Rule: "C4", Name: "C4_prefetch", run: c4Prefetch,
		Text: "at most Prefetch messages are held unsettled"},
	{Rule: "C8", Name: "C8_lost_connection", run: c8Lost,
		Text: "a message whose handler did not finish (lost connection) is delivered again, marked Redelivered"},
	{Rule: "C8", Name: "C8_not_before_the_handler", run: c8NotBefore,
		Text: "a message is acknowledged when its handler has returned, not before"},
	{Rule: "C9", Name: "C9_foreign", run: c9Foreign,
		Text: "a message from a foreign producer is delivered once like any other"},
	{Rule: "C9", Name: "C9_any_bytes", run: c9AnyBytes,
		Text: "bodies and header values of any bytes are delivered as they are"},
	{Rule: "C11", Name: "C11_nothing_unsent", run: c11Unsent,
		Text: "nothing is delivered that nobody sent"},
	{Rule: "C12", Name: "C12_connection_lost", run: c12Connection,
		Text: "when the connection is lost, the subscription resumes by itself and says so"},
	{Rule: "C12", Name: "C12_queue_deleted", run: c12Deleted,
		Text: "when its queue is deleted, the subscription resumes by itself and says so"},
	{Rule: "C12", Name: "C12_as_declared", run: c12AsDeclared,
		Text: "a queue that is deleted under a subscription comes back as it was declared"},
	{Rule: "C12", Name: "C12_consumer_cancelled", run: c12Cancelled,
		Text: "when the broker cancels its consumer, the subscription resumes by itself and says so"},
	{Rule: "C13", Name: "C13_auto_ack", run: c13AutoAck,
		Text: "AutoAck: the message is gone once the handler has been called"},
}

func c1Competing(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	const consumers, n = 3, 300
	in := newInbox()
	for range consumers {
		if _, err := e.subscribe(messaging.Source{Address: q, Concurrency: 2}, in.accept); err != nil {
			return err
		}
	}
	if err := e.publish(q, texts("m", n)...); err != nil {
		return err
	}
	got, err := e.take(in, n)
	if err != nil {
		return err
	}
	for _, s := range e.subs { // what is handled twice is in the inbox when all have stopped
		if err := s.stop(); err != nil {
			return err
		}
	}
	for len(in) > 0 {
		got = append(got, <-in)
	}
	if err := once(got, bodies("m", n)); err != nil {
		return err
	}
	return e.empty(q)
}

func c1Readiness(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	release := make(chan struct{})
	defer close(release)
	held := newInbox()
	hold := func(ctx context.Context, d *messaging.Delivery) error {
		held.put(d)
		<-release
		return nil
	}
	if _, err := e.subscribe(messaging.Source{Address: q, Prefetch: 1}, hold); err != nil {
		return err
	}
	if err := e.publish(q, text("long job")); err != nil {
		return err
	}
	if _, err := e.next(held); err != nil {
		return err
	}
	in := newInbox()
	if _, err := e.subscribe(messaging.Source{Address: q, Prefetch: 1}, in.accept); err != nil {
		return err
	}
	if err := e.publish(q, texts("m", 20)...); err != nil {
		return err
	}
	got, err := e.take(in, 20)
	if err != nil {
		return fmt.Errorf("one consumer is busy, the other must get all the rest: %w", err)
	}
	return once(got, bodies("m", 20))
}

func c2Concurrency(e *env) error { return e.runs(messaging.Source{Concurrency: 4}, 20) }

// runs checks that of n messages, exactly Concurrency are handled at once.
func (e *env) runs(src messaging.Source, n int) error {
	q, err := e.filled(n)
	if err != nil {
		return err
	}
	src.Address = q
	concurrency := src.Concurrency
	var running, most atomic.Int64
	started := make(chan struct{}, 100)
	release := make(chan struct{})
	handle := func(context.Context, *messaging.Delivery) error {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		started <- struct{}{}
		<-release
		return nil
	}
	e.atEnd(func() { close(release) })
	s, err := e.subscribe(src, handle)
	if err != nil {
		return err
	}
	for i := range concurrency {
		if err := e.wait(e.ctx, started, fmt.Sprintf("handler %d of %d to run at once", i+1, concurrency)); err != nil {
			return err
		}
	}
	for range n - concurrency { // each that ends lets one other start
		release <- struct{}{}
		if err := e.wait(e.ctx, started, "the next handler"); err != nil {
			return err
		}
	}
	for range concurrency {
		release <- struct{}{}
	}
	if err := s.stop(); err != nil {
		return err
	}
	if most.Load() != int64(concurrency) {
		return fmt.Errorf("%d handlers ran at once with Concurrency %d", most.Load(), concurrency)
	}
	return e.empty(q)
}

func c3Order(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	in := newInbox()
	if _, err := e.subscribe(messaging.Source{Address: q}, in.accept); err != nil {
		return err
	}
	if err := e.publish(q, texts("m", 200)...); err != nil {
		return err
	}
	got, err := e.take(in, 200)
	if err != nil {
		return err
	}
	return same(got, bodies("m", 200))
}

func c3OrderBy(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	const keys, each = 5, 40
	var sent []*messaging.Message
	for i := range each {
		for k := range keys {
			sent = append(sent, &messaging.Message{
				Headers: map[string]string{"key": fmt.Sprint(k)}, Body: fmt.Appendf(nil, "%d:%d", k, i)})
		}
	}
	if err := e.publish(q, sent...); err != nil {
		return err
	}
	in := newInbox()
	var mu sync.Mutex
	running := map[string]bool{}
	var overlap error
	handle := func(_ context.Context, d *messaging.Delivery) error {
		key := d.Headers["key"]
		mu.Lock()
		if running[key] {
			overlap = fmt.Errorf("two messages of key %s were handled at once", key)
		}
		running[key] = true
		mu.Unlock()
		in.put(d)
		mu.Lock()
		running[key] = false
		mu.Unlock()
		return nil
	}
	byKey := func(d *messaging.Delivery) string { return d.Headers["key"] }
	s, err := e.subscribe(messaging.Source{Address: q, Concurrency: 8, OrderBy: byKey}, handle)
	if err != nil {
		return err
	}
	got, err := e.take(in, keys*each)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if overlap != nil {
		return overlap
	}
	return inOrderPerPrefix(got, keys*each)
}

func c4Prefetch(e *env) error {
	const prefetch, n = 5, 20
	q, err := e.filled(n)
	if err != nil {
		return err
	}
	release := make(chan struct{})
	defer close(release)
	holding := make(chan struct{}, n)
	hold := func(context.Context, *messaging.Delivery) error {
		holding <- struct{}{}
		<-release
		return nil
	}
	if _, err := e.subscribe(messaging.Source{Address: q, Prefetch: prefetch}, hold); err != nil {
		return err
	}
	if err := e.wait(e.ctx, holding, "the first handler"); err != nil {
		return err
	}
	in := newInbox()
	if _, err := e.subscribe(messaging.Source{Address: q, Prefetch: 1}, in.accept); err != nil {
		return err
	}
	if _, err := e.take(in, n-prefetch); err != nil {
		return fmt.Errorf("a consumer with Prefetch %d leaves at least %d of %d messages to others: %w", prefetch, n-prefetch, n, err)
	}
	return nil
}

func c8Lost(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	in := newInbox()
	release := make(chan struct{})
	handle := func(_ context.Context, d *messaging.Delivery) error {
		in.put(d)
		if !d.Redelivered {
			<-release
		}
		return nil
	}
	s, err := e.subscribe(messaging.Source{Address: q, Concurrency: 2}, handle)
	if err != nil {
		return err
	}
	first, err := e.next(in)
	if err != nil {
		return err
	}
	e.rig.Disconnect()
	e.rig.Reconnect()
	again, err := e.next(in)
	close(release)
	if err != nil {
		return fmt.Errorf("the connection was lost while the handler ran, and the message did not come again: %w", err)
	}
	if again.ID != first.ID || !again.Redelivered || again.Attempt < 1 {
		return fmt.Errorf("the second delivery has ID %s (the first %s), Redelivered %t, Attempt %d",
			again.ID, first.ID, again.Redelivered, again.Attempt)
	}
	if err := s.stop(); err != nil {
		return err
	}
	return e.empty(q)
}

// c8NotBefore makes a handler fail by the loss of everything around it: the
// handler ends only when the subscription is over. A message that was
// acknowledged early would be gone.
func c8NotBefore(e *env) error {
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	in := newInbox()
	handle := func(ctx context.Context, d *messaging.Delivery) error {
		in.put(d)
		<-ctx.Done()
		return ctx.Err()
	}
	s, err := e.subscribe(messaging.Source{Address: q, ShutdownTimeout: time.Millisecond}, handle)
	if err != nil {
		return err
	}
	if _, err := e.next(in); err != nil {
		return err
	}
	if err := s.stop(); err == nil {
		return errors.New("a handler did not finish, and Subscribe returned nil")
	}
	got, err := e.receive(q, 1)
	if err != nil {
		return fmt.Errorf("a handler did not finish, and its message is gone: %w", err)
	}
	return same(got, []string{"m0"})
}

func c9Foreign(e *env) error {
	if err := need(e.rig.Foreign != nil, "Foreign"); err != nil {
		return err
	}
	q, err := e.queue()
	if err != nil {
		return err
	}
	if err := e.rig.Foreign(e.ctx, q.Name()); err != nil {
		return fmt.Errorf("put a foreign message into the queue: %w", err)
	}
	in := newInbox()
	s, err := e.subscribe(messaging.Source{Address: q}, in.accept)
	if err != nil {
		return err
	}
	got, err := e.last(in, q)
	if err != nil {
		return err
	}
	if len(got) != 1 || got[0].Attempt != 1 {
		return fmt.Errorf("the foreign message came %d times: %s", len(got), list(got))
	}
	return s.stop()
}

func c9AnyBytes(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	sent := []*messaging.Message{
		{Body: every, Headers: map[string]string{"bytes": string(every), "名": "值", "x": "\x00"}},
		{Body: nil},
		{Body: make([]byte, 1<<20)}, // more than one AMQP frame
	}
	if err := e.publish(q, sent...); err != nil {
		return err
	}
	got, err := e.receive(q, len(sent))
	if err != nil {
		return err
	}
	for i := range sent {
		if err := sameMessage(got[i].Message, *sent[i]); err != nil {
			return err
		}
	}
	return e.empty(q)
}

func c11Unsent(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	in := newInbox()
	s, err := e.subscribe(messaging.Source{Address: q}, in.accept)
	if err != nil {
		return err
	}
	disturb := []func(){func() {}}
	if e.rig.Disconnect != nil {
		disturb = append(disturb, func() { e.rig.Disconnect(); e.rig.Reconnect() })
	}
	if e.rig.CancelConsumers != nil {
		disturb = append(disturb, func() { e.rig.CancelConsumers(q) })
	}
	sent := map[string]bool{}
	for i, f := range disturb {
		f()
		if i > 0 {
			if err := s.waitReady(); err != nil {
				return err
			}
		}
		for _, m := range texts(fmt.Sprintf("%d-", i), 5) {
			if err := e.publish(q, m); err != nil {
				return err
			}
			sent[m.ID] = true
		}
		end := text("end")
		if err := e.publish(q, end); err != nil {
			return err
		}
		sent[end.ID] = true
		for last := ""; last != end.ID; {
			d, err := e.next(in)
			if err != nil {
				return err
			}
			if last = d.ID; !sent[d.ID] {
				return fmt.Errorf("a message with ID %q and body %q was delivered, and nobody sent it", d.ID, d.Body)
			}
		}
	}
	return s.stop()
}

func c12Connection(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	return e.resumes(func(messaging.Address) error {
		e.rig.Disconnect()
		e.rig.Reconnect()
		return nil
	})
}

func c12Deleted(e *env) error {
	return e.resumes(func(q messaging.Address) error { return e.b.Delete(e.ctx, q) })
}

func c12AsDeclared(e *env) error {
	for _, spec := range []messaging.QueueSpec{
		{MaxLength: 5, Overflow: messaging.DropOldest},
		{TTL: time.Minute},
		{SingleActive: true},
		{AutoDelete: true},
	} {
		spec.Name = e.unique()
		if err := e.b.Declare(e.ctx, spec); err != nil {
			return err
		}
		s, err := e.subscribe(messaging.Source{Address: messaging.Queue(spec.Name)}, newInbox().accept)
		if err != nil {
			return err
		}
		if err := e.b.Delete(e.ctx, messaging.Queue(spec.Name)); err != nil {
			return err
		}
		if err := s.waitReady(); err != nil {
			return err
		}
		if err := e.b.Declare(e.ctx, spec); err != nil {
			return fmt.Errorf("declared as %+v and deleted, the queue came back otherwise: %w", spec, err)
		}
	}
	return nil
}

func c12Cancelled(e *env) error {
	if err := need(e.rig.CancelConsumers != nil, "CancelConsumers"); err != nil {
		return err
	}
	return e.resumes(func(q messaging.Address) error {
		e.rig.CancelConsumers(q)
		return nil
	})
}

// resumes checks that a subscription works on after what disturb does to it.
func (e *env) resumes(disturb func(q messaging.Address) error) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	in := newInbox()
	s, err := e.subscribe(messaging.Source{Address: q}, in.accept)
	if err != nil {
		return err
	}
	for range 2 { // the second time, it resumes a subscription that has resumed
		if err := disturb(q); err != nil {
			return err
		}
		if err := s.waitReady(); err != nil {
			return err
		}
		if h := e.b.Health(); h.LastError == nil {
			return fmt.Errorf("Health says nothing about the disturbance: %s", h)
		}
		m := text("m")
		if err := e.publish(q, m); err != nil {
			return err
		}
		for id := ""; id != m.ID; { // what came before the disturbance may come again
			d, err := e.next(in)
			if err != nil {
				return err
			}
			id = d.ID
		}
	}
	if h := e.b.Health(); h.State != messaging.Connected || h.Subscriptions != 1 {
		return fmt.Errorf("after it resumed, Health says %s", h)
	}
	return s.stop()
}

func c13AutoAck(e *env) error {
	q, err := e.filled(3)
	if err != nil {
		return err
	}
	in := newInbox()
	fail := func(_ context.Context, d *messaging.Delivery) error {
		in.put(d)
		return errors.New("too late to matter")
	}
	s, err := e.subscribe(messaging.Source{Address: q, AutoAck: true, Retry: messaging.Retry{MaxAttempts: 1}}, fail)
	if err != nil {
		return err
	}
	got, err := e.take(in, 3)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if err := same(got, bodies("m", 3)); err != nil {
		return err
	}
	if _, err := e.get(dead(q)); !errors.Is(err, messaging.ErrEmpty) && !errors.Is(err, messaging.ErrNotFound) {
		return fmt.Errorf("a message that was settled before is a dead letter (error %v)", err)
	}
	return e.empty(q)
}
