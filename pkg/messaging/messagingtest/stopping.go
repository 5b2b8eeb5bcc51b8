package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

var stopping = []Case{
	{Rule: "S1", Name: "S1_drain", run: s1Drain,
		Text: "when ctx ends no handler starts any more, running ones go on with a live context, and what they settle is settled before Subscribe returns nil"},
	{Rule: "S2", Name: "S2_prefetched_goes_back", run: s2Back,
		Text: "what was prefetched but not started is back in the queue at once, and never counts as an attempt"},
	{Rule: "S3", Name: "S3_shutdown_timeout", run: s3Timeout,
		Text: "after ShutdownTimeout the handlers' context is cancelled; what they leave goes back to the queue, not to the dead letters; Subscribe returns an error that says how many"},
	{Rule: "S3", Name: "S3_handler_that_hangs", run: s3Hangs,
		Text: "Subscribe returns after ShutdownTimeout even when a handler ignores its context; its message goes back to the queue"},
	{Rule: "S4", Name: "S4_publish_while_draining", run: s4Publish,
		Text: "handlers may publish while draining"},
	{Rule: "S5", Name: "S5_close", run: s5Close,
		Text: "Close drains subscriptions as the end of their context would, handlers may publish meanwhile, it is idempotent, and everything after it is ErrClosed"},
	{Rule: "S5", Name: "S5_close_cuts", run: s5Cuts,
		Text: "Close meets its deadline with a handler that hangs, and says that it cut something"},
	{Rule: "S5", Name: "S5_close_tells_of_handlers", run: s5Tells,
		Text: "Close says that a handler did not finish, also where it was the ShutdownTimeout that ended first; each Close returns what the first did"},
	{Rule: "S5", Name: "S5_close_tells_of_time", run: s5Time,
		Text: "Close says that its context ended first, also where the handlers then ended at once and well"},
	{Rule: "S5", Name: "S5_close_while_away", run: s5Away,
		Text: "Close meets its deadline with the broker away, and ends the waiting of Publish"},
	{Rule: "S5", Name: "S5_no_goroutine", run: s5Goroutine,
		Text: "Close leaves no goroutine"},
}

// busy is a subscription whose first handler is running, on a queue of n
// messages; release ends it with a verdict.
type busy struct {
	*subscription
	q       messaging.Address
	calls   inbox
	release chan error
	ctx     context.Context // the handler's
}

func (e *env) busy(n int, src messaging.Source) (*busy, error) {
	q, err := e.filled(n)
	if err != nil {
		return nil, err
	}
	b := &busy{q: q, calls: newInbox(), release: make(chan error, n)}
	e.atEnd(func() { close(b.release) })
	running := make(chan context.Context, n)
	src.Address = q
	b.subscription, err = e.subscribe(src, func(ctx context.Context, d *messaging.Delivery) error {
		b.calls.put(d)
		running <- ctx
		return <-b.release
	})
	if err != nil {
		return nil, err
	}
	select {
	case b.ctx = <-running:
		return b, nil
	case <-e.ctx.Done():
		return nil, errors.New("waited in vain for the handler")
	}
}

func s1Drain(e *env) error {
	b, err := e.busy(3, messaging.Source{Prefetch: 1})
	if err != nil {
		return err
	}
	b.cancel()
	others, err := e.receive(b.q, 2) // both are free: nobody else starts a handler
	if err != nil {
		return fmt.Errorf("while a handler drains: %w", err)
	}
	if err := b.ctx.Err(); err != nil {
		return fmt.Errorf("while it drains, the handler's context has ended: %w", err)
	}
	select {
	case <-b.returned:
		return fmt.Errorf("Subscribe returned while its handler was running: %v", b.err)
	default:
	}
	b.release <- nil
	if err := b.stop(); err != nil {
		return fmt.Errorf("Subscribe returned %w after its handlers had finished", err)
	}
	if n := len(b.calls); n != 1 {
		return fmt.Errorf("%d handlers started; after the first, the context had ended", n)
	}
	if err := once(others, []string{"m1", "m2"}); err != nil {
		return err
	}
	return e.empty(b.q)
}

func s2Back(e *env) error {
	b, err := e.busy(6, messaging.Source{Prefetch: 10})
	if err != nil {
		return err
	}
	b.cancel()
	got, err := e.receive(b.q, 5)
	if err != nil {
		return fmt.Errorf("a handler is still running, and what it was not started for is not back: %w", err)
	}
	for _, d := range got {
		if d.Attempt != 1 {
			return fmt.Errorf("%q was not started and has Attempt %d", d.Body, d.Attempt)
		}
	}
	if err := once(got, bodies("m", 6)[1:]); err != nil {
		return err
	}
	b.release <- nil
	if err := b.stop(); err != nil {
		return err
	}
	return e.empty(b.q)
}

func s3Timeout(e *env) error {
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	running := make(chan struct{}, 10)
	s, err := e.subscribe(messaging.Source{Address: q, ShutdownTimeout: 100 * time.Millisecond, Retry: messaging.Retry{MaxAttempts: 1}},
		func(ctx context.Context, _ *messaging.Delivery) error {
			running <- struct{}{}
			<-ctx.Done()
			return fmt.Errorf("interrupted: %w", ctx.Err())
		})
	if err != nil {
		return err
	}
	if err := e.wait(e.ctx, running, "the handler"); err != nil {
		return err
	}
	if err := s.stop(); err == nil {
		return errors.New("a handler did not finish, and Subscribe returned nil")
	}
	return e.backUncounted(q)
}

// backUncounted checks that the one message of q is back, as new.
func (e *env) backUncounted(q messaging.Address) error {
	got, err := e.receive(q, 1)
	if err != nil {
		return fmt.Errorf("the message did not go back to its queue: %w", err)
	}
	if got[0].Attempt != 1 {
		return fmt.Errorf("the shutdown counted as an attempt: Attempt is %d", got[0].Attempt)
	}
	return errors.Join(e.empty(q), e.empty(dead(q)))
}

// cutTime is how long a handler may ignore the end of its context before it is
// left behind.
const cutTime = 2 * time.Second

func s3Hangs(e *env) error {
	b, err := e.busy(1, messaging.Source{ShutdownTimeout: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	start := time.Now()
	if err := b.stop(); err == nil {
		return errors.New("a handler hangs, and Subscribe returned nil")
	}
	if took := time.Since(start); took > 100*time.Millisecond+cutTime+e.h.Slack {
		return fmt.Errorf("Subscribe returned after %s", took)
	}
	return e.backUncounted(b.q)
}

func s4Publish(e *env) error {
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	answers, err := e.queue()
	if err != nil {
		return err
	}
	running, drain := make(chan struct{}, 1), make(chan struct{})
	s, err := e.subscribe(messaging.Source{Address: q}, func(ctx context.Context, _ *messaging.Delivery) error {
		running <- struct{}{}
		<-drain
		return e.b.Publish(ctx, answers, text("done"))
	})
	if err != nil {
		return err
	}
	if err := e.wait(e.ctx, running, "the handler"); err != nil {
		return err
	}
	s.cancel()
	close(drain)
	if err := s.stop(); err != nil {
		return err
	}
	if _, err := e.get(answers); err != nil {
		return fmt.Errorf("published while draining, and not there: %w", err)
	}
	return e.empty(q)
}

// errLate says that Close took longer than it may.
var errLate = errors.New("missed the deadline")

// closeTime is how much later than the end of its context Close may return.
const closeTime = 100 * time.Millisecond

// closeBroker closes the broker with a timeout, and checks that it is kept.
func (e *env) closeBroker(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	start := time.Now()
	e.closed = true
	err := e.b.Close(ctx)
	if took := time.Since(start); took > timeout+closeTime+e.h.Slack {
		return fmt.Errorf("Close %w: with a timeout of %s it took %s", errLate, timeout, took)
	}
	return err
}

func s5Close(e *env) error {
	b, err := e.busy(1, messaging.Source{})
	if err != nil {
		return err
	}
	closed := make(chan error, 1)
	go func() { closed <- e.closeBroker(30 * time.Second) }()
	if err := e.closing(b.q); err != nil {
		return err
	}
	if err := b.ctx.Err(); err != nil {
		return fmt.Errorf("Close was called, and the running handler's context has ended: %w", err)
	}
	if err := e.b.Publish(b.ctx, b.q, text("from the handler")); err != nil {
		return fmt.Errorf("while Close drains, a handler's Publish returned %w", err)
	}
	b.release <- nil
	if err := <-closed; err != nil {
		return fmt.Errorf("Close returned %w, though the handler had finished in time", err)
	}
	if err := b.stop(); !errors.Is(err, messaging.ErrClosed) {
		return fmt.Errorf("after Close, Subscribe returned %v, not ErrClosed", err)
	}
	if err := e.closeBroker(time.Second); err != nil {
		return fmt.Errorf("the second Close returned %w", err)
	}
	if h := e.b.Health(); h.State != messaging.Closed || h.Subscriptions != 0 {
		return fmt.Errorf("after Close, Health says %s", h)
	}
	return e.refusesAll(b.q)
}

// closing waits for Close, which was called in the background, to have begun:
// then nobody can subscribe any more.
func (e *env) closing(q messaging.Address) error {
	ended, cancel := context.WithCancel(e.ctx)
	cancel()
	var err error
	if waitErr := e.again("Subscribe to fail after Close was called", func() bool {
		err = e.b.Subscribe(ended, messaging.Source{Address: q}, newInbox().accept)
		return err != nil
	}); waitErr != nil {
		return waitErr
	}
	if !errors.Is(err, messaging.ErrClosed) {
		return fmt.Errorf("after Close was called, Subscribe returned %w, not ErrClosed", err)
	}
	return nil
}

// refusesAll checks that every method says ErrClosed.
func (e *env) refusesAll(q messaging.Address) error {
	_, inspectErr := e.b.Inspect(e.ctx, q)
	_, purgeErr := e.b.Purge(e.ctx, q)
	_, getErr := messaging.Get(e.ctx, e.b, messaging.Source{Address: q})
	for name, err := range map[string]error{
		"Publish":   e.b.Publish(e.ctx, q, text("late")),
		"Subscribe": e.b.Subscribe(e.ctx, messaging.Source{Address: q}, newInbox().accept),
		"Declare":   e.b.Declare(e.ctx, messaging.QueueSpec{Name: e.unique()}),
		"Delete":    e.b.Delete(e.ctx, q),
		"Inspect":   inspectErr,
		"Purge":     purgeErr,
		"Get":       getErr,
	} {
		if !errors.Is(err, messaging.ErrClosed) {
			return fmt.Errorf("after Close, %s returned %v, not ErrClosed", name, err)
		}
	}
	return nil
}

func s5Cuts(e *env) error {
	_, err := e.busy(1, messaging.Source{})
	if err != nil {
		return err
	}
	switch err := e.closeBroker(200 * time.Millisecond); {
	case err == nil:
		return errors.New("a handler hangs, and Close returned nil")
	case errors.Is(err, errLate):
		return err
	}
	return nil
}

func s5Tells(e *env) error {
	if _, err := e.busy(1, messaging.Source{ShutdownTimeout: 100 * time.Millisecond}); err != nil {
		return err
	}
	start := time.Now()
	first := e.closeBroker(time.Minute)
	if first == nil {
		return errors.New("a handler was left behind, and Close returned nil")
	}
	if took := time.Since(start); took > 100*time.Millisecond+cutTime+e.h.Slack {
		return fmt.Errorf("Close took %s, with nothing to wait for but a ShutdownTimeout of 100 ms", took)
	}
	if again := e.closeBroker(time.Second); again == nil || again.Error() != first.Error() {
		return fmt.Errorf("the first Close returned %w, the second %v", first, again)
	}
	return nil
}

func s5Time(e *env) error {
	q, err := e.filled(1)
	if err != nil {
		return err
	}
	running := make(chan struct{}, 10)
	s, err := e.subscribe(messaging.Source{Address: q}, func(ctx context.Context, _ *messaging.Delivery) error {
		running <- struct{}{}
		<-ctx.Done()
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.wait(e.ctx, running, "the handler"); err != nil {
		return err
	}
	switch err := e.closeBroker(200 * time.Millisecond); {
	case err == nil:
		return errors.New("a handler ran until its context was cancelled, and Close returned nil")
	case errors.Is(err, errLate):
		return err
	case !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("Close returned %w, which is not that its context ended", err)
	}
	if err := s.stop(); !errors.Is(err, messaging.ErrClosed) {
		return fmt.Errorf("after Close, Subscribe returned %v, not ErrClosed", err)
	}
	return nil
}

func s5Away(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	q, err := e.queue()
	if err != nil {
		return err
	}
	if _, err := e.subscribe(messaging.Source{Address: q}, newInbox().accept); err != nil {
		return err
	}
	e.rig.Disconnect()
	defer e.rig.Reconnect()
	result, err := e.publishWaits(q, text("m"))
	if err != nil {
		return fmt.Errorf("with the broker away: %w", err)
	}
	if err := e.closeBroker(time.Second); errors.Is(err, errLate) {
		return err // whether something had to be cut is the adapter's to say
	}
	select {
	case err := <-result:
		if !errors.Is(err, messaging.ErrClosed) {
			return fmt.Errorf("Close ended a waiting Publish with %v, not ErrClosed", err)
		}
	case <-e.ctx.Done():
		return errors.New("after Close, Publish was still waiting")
	}
	return nil
}

func s5Goroutine(e *env) error {
	q, err := e.filled(10)
	if err != nil {
		return err
	}
	in := newInbox()
	if _, err := e.subscribe(messaging.Source{Address: q, Concurrency: 3}, in.accept); err != nil {
		return err
	}
	if _, err := e.take(in, 10); err != nil {
		return err
	}
	if e.rig.Disconnect != nil {
		e.rig.Disconnect()
		e.rig.Reconnect()
	}
	if err := e.publish(q, text("one more")); err != nil {
		return err
	}
	if err := e.closeBroker(closeTimeout); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if e.rig.Close != nil { // the harness's own goroutines are not the adapter's
		e.rig.Close()
		e.rig.Close = nil
	}
	return e.leaked()
}
