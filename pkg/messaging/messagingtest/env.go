package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// env is what a case works with.
type env struct {
	ctx  context.Context // ends when the case has taken too long
	h    Harness
	rig  *Rig
	b    messaging.Broker
	name string
	subs []*subscription
	ends []func() // what lets handlers end that still run

	closed bool // the case itself has closed the broker, and judged how that went
}

// closeTimeout is what Close gets at the end of a case.
const closeTimeout = 10 * time.Second

// close ends what the case left running. A case that has passed must be able
// to close its broker in time.
func (e *env) close() error {
	for _, f := range e.ends {
		f()
	}
	for _, s := range e.subs {
		s.cancel()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := e.b.Close(ctx)
	if e.closed {
		err = nil
	}
	for _, s := range e.subs {
		if stopErr := e.wait(ctx, s.returned, "Subscribe to return after Close"); stopErr != nil {
			err = errors.Join(err, stopErr)
		}
	}
	if e.rig.Close != nil {
		e.rig.Close()
	}
	if err != nil {
		return fmt.Errorf("at the end of the case, Close: %w", err)
	}
	return nil
}

// atEnd calls f when the case is over, however it ended.
func (e *env) atEnd(f func()) { e.ends = append(e.ends, f) }

// queue declares a new queue with a name of its own. set changes its spec.
func (e *env) queue(set ...func(*messaging.QueueSpec)) (messaging.Address, error) {
	spec := messaging.QueueSpec{Name: e.unique()}
	for _, f := range set {
		f(&spec)
	}
	if err := e.b.Declare(e.ctx, spec); err != nil {
		return messaging.Address{}, fmt.Errorf("declare %s: %w", spec.Name, err)
	}
	return messaging.Queue(spec.Name), nil
}

// unique returns a name that no other case and no other run uses.
func (e *env) unique() string {
	return "conformance." + e.name + "." + messaging.NewID()
}

// text is a message with that body.
func text(body string) *messaging.Message { return &messaging.Message{Body: []byte(body)} }

// texts are n messages with the bodies prefix0, prefix1, ...
func texts(prefix string, n int) []*messaging.Message {
	msgs := make([]*messaging.Message, n)
	for i := range msgs {
		msgs[i] = text(prefix + strconv.Itoa(i))
	}
	return msgs
}

// bodies are the bodies that [texts] gives.
func bodies(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i)
	}
	return list
}

func (e *env) publish(to messaging.Address, msgs ...*messaging.Message) error {
	if err := e.b.Publish(e.ctx, to, msgs...); err != nil {
		return fmt.Errorf("publish %d messages: %w", len(msgs), err)
	}
	return nil
}

// filled declares a queue and publishes n messages m0, m1, ... to it.
func (e *env) filled(n int) (messaging.Address, error) {
	q, err := e.queue()
	if err == nil {
		err = e.publish(q, texts("m", n)...)
	}
	return q, err
}

// subscription is a Subscribe that is running.
type subscription struct {
	e        *env
	cancel   context.CancelFunc
	ready    chan struct{} // one for each call of Ready
	returned chan struct{} // closed when Subscribe has returned
	err      error         // of Subscribe
}

// subscribe starts a Subscribe and waits until it is ready.
func (e *env) subscribe(src messaging.Source, h messaging.Handler) (*subscription, error) {
	ctx, cancel := context.WithCancel(e.ctx)
	s := &subscription{e: e, cancel: cancel, ready: make(chan struct{}, 100), returned: make(chan struct{})}
	src.Ready = func() {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
	e.subs = append(e.subs, s)
	go func() {
		defer close(s.returned)
		s.err = e.b.Subscribe(ctx, src, h)
	}()
	return s, s.waitReady()
}

func (s *subscription) waitReady() error {
	select {
	case <-s.ready:
		return nil
	case <-s.returned:
		return fmt.Errorf("subscribe returned before it was ready: %v", s.err)
	case <-s.e.ctx.Done():
		return errors.New("waited in vain for the subscription to call Ready")
	}
}

// stop ends the subscription's context and returns what Subscribe returned.
func (s *subscription) stop() error {
	s.cancel()
	if err := s.e.wait(s.e.ctx, s.returned, "Subscribe to return after its context ended"); err != nil {
		return err
	}
	return s.err
}

// wait waits for a channel to be closed or to have something.
func (e *env) wait(ctx context.Context, c <-chan struct{}, what string) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waited in vain for %s", what)
	}
}

// again asks f every millisecond until it says yes, where there is no event to
// wait for. The pause lets time pass in a bubble of testing/synctest.
func (e *env) again(what string, f func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-e.ctx.Done():
			return fmt.Errorf("waited in vain for %s", what)
		}
	}
	return nil
}

// inbox collects deliveries.
type inbox chan messaging.Delivery

func newInbox() inbox { return make(inbox, 10_000) }

// put adds a copy of d.
func (in inbox) put(d *messaging.Delivery) {
	c := *d
	c.Message = d.Clone()
	in <- c
}

// accept is a handler that collects and acknowledges.
func (in inbox) accept(_ context.Context, d *messaging.Delivery) error {
	in.put(d)
	return nil
}

// fail is a handler that collects and fails.
func (in inbox) fail(_ context.Context, d *messaging.Delivery) error {
	in.put(d)
	return errors.New("on purpose")
}

// next waits for one delivery.
func (e *env) next(in inbox) (messaging.Delivery, error) {
	select {
	case d := <-in:
		return d, nil
	case <-e.ctx.Done():
		return messaging.Delivery{}, fmt.Errorf("waited in vain for a delivery")
	}
}

// take waits for n deliveries.
func (e *env) take(in inbox, n int) ([]messaging.Delivery, error) {
	var got []messaging.Delivery
	for len(got) < n {
		d, err := e.next(in)
		if err != nil {
			return got, fmt.Errorf("%d of %d messages came (%s): %w", len(got), n, list(got), err)
		}
		got = append(got, d)
	}
	return got, nil
}

// receive subscribes to q for as long as it takes to get n messages.
func (e *env) receive(q messaging.Address, n int) ([]messaging.Delivery, error) {
	in := newInbox()
	s, err := e.subscribe(messaging.Source{Address: q}, in.accept)
	if err != nil {
		return nil, err
	}
	got, err := e.take(in, n)
	if err != nil {
		return got, err
	}
	return got, s.stop()
}

// last publishes a message to q that marks the end, reads up to it, and returns
// what came before. Whatever was in q before the call has come by then.
func (e *env) last(in inbox, q messaging.Address) ([]messaging.Delivery, error) {
	end := "end " + messaging.NewID()
	if err := e.publish(q, text(end)); err != nil {
		return nil, err
	}
	var got []messaging.Delivery
	for {
		d, err := e.next(in)
		if err != nil || string(d.Body) == end {
			return got, err
		}
		got = append(got, d)
	}
}

// empty says that q has no message.
func (e *env) empty(q messaging.Address) error {
	p, err := messaging.Get(e.ctx, e.b, messaging.Source{Address: q})
	if errors.Is(err, messaging.ErrEmpty) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look whether %s is empty: %w", q, err)
	}
	defer p.Settle(messaging.Requeue(nil)) //nolint:errcheck // the case has failed already
	return fmt.Errorf("%s should be empty and has %q (attempt %d)", q, p.Body, p.Attempt)
}

// get takes one message out of q.
func (e *env) get(q messaging.Address) (*messaging.Pending, error) {
	p, err := messaging.Get(e.ctx, e.b, messaging.Source{Address: q})
	if err != nil {
		return nil, err
	}
	return p, p.Settle(nil)
}

// same says that got has exactly these bodies, in this order.
func same(got []messaging.Delivery, want []string) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d messages came, %d were sent: %s", len(got), len(want), list(got))
	}
	for i := range got {
		if string(got[i].Body) != want[i] {
			return fmt.Errorf("position %d has %q, not %q: %s", i, got[i].Body, want[i], list(got))
		}
	}
	return nil
}

// once says that got has each of these bodies once, in any order.
func once(got []messaging.Delivery, want []string) error {
	count := map[string]int{}
	for _, d := range got {
		count[string(d.Body)]++
	}
	for _, w := range want {
		if count[w] != 1 {
			return fmt.Errorf("%q came %d times: %s", w, count[w], list(got))
		}
		delete(count, w)
	}
	for extra := range count {
		return fmt.Errorf("%q came and was not sent: %s", extra, list(got))
	}
	return nil
}

// list is the bodies of got, for a failure's text.
func list(got []messaging.Delivery) string {
	const most = 30
	var b strings.Builder
	for i, d := range got {
		if i == most {
			fmt.Fprintf(&b, " ... (%d in all)", len(got))
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%q", d.Body)
	}
	return b.String()
}

// dead is the default dead-letter queue of q.
func dead(q messaging.Address) messaging.Address { return messaging.Queue(q.Name() + ".dead") }

// need says which fault the harness must provide.
func need(ok bool, what string) error {
	if !ok {
		return fmt.Errorf("the harness has no %s; provide it in Rig, or name the rule in Harness.Missing", what)
	}
	return nil
}
