package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// watching are the cases of Health as something that is told.
var watching = []Case{
	{Rule: "H1", Name: "H1_watch_begins_and_ends", run: h1Ends,
		Text: "Watch begins with the present Health, and ends when its context does"},
	{Rule: "H1", Name: "H1_watch_close", run: h1Close,
		Text: "Watch ends after the state Closed, which it tells when Close has begun; after Close that is all it tells"},
	{Rule: "H1", Name: "H1_watch_subscriptions", run: h1Subscriptions,
		Text: "Watch tells when a subscription has become active, and when it is no longer"},
	{Rule: "H1", Name: "H1_watch_connection", run: h1Connection,
		Text: "Watch tells when the connection is lost, and when it is there again"},
	{Rule: "H1", Name: "H1_watch_blocked", run: h1Blocked, alone: true,
		Text: "Watch tells when the broker blocks publishers, and when that is over"},
	{Rule: "H1", Name: "H1_watch_slow", run: h1Slow,
		Text: "whoever watches and takes its time gets the latest Health next, and nothing that was before"},
}

// watch is a Watch that is running, which tells as fast as it is read.
type watch struct {
	e     *env
	told  chan messaging.Health
	began chan struct{} // closed when the loop's body runs for the first time
	ended chan struct{} // closed when the loop has ended
}

func (e *env) watch(ctx context.Context) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{e: e, told: make(chan messaging.Health), began: make(chan struct{}), ended: make(chan struct{})}
	e.atEnd(func() {
		cancel()
		<-w.ended
	})
	go func() {
		defer close(w.ended)
		var once sync.Once
		for h := range messaging.Watch(ctx, e.b) {
			once.Do(func() { close(w.began) })
			select {
			case w.told <- h:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

// next waits for what Watch tells next.
func (w *watch) next() (messaging.Health, error) {
	select {
	case h := <-w.told:
		return h, nil
	case <-w.ended:
		return messaging.Health{}, errors.New("Watch has ended")
	case <-w.e.ctx.Done():
		return messaging.Health{}, errors.New("waited in vain for Watch to tell of a change")
	}
}

// until reads what Watch tells until it is what is waited for.
func (w *watch) until(what string, is func(messaging.Health) bool) error {
	last := "nothing"
	for {
		h, err := w.next()
		if err != nil {
			return fmt.Errorf("%s: %w; before, it told %s, and Health says %s", what, err, last, w.e.b.Health())
		}
		if is(h) {
			return nil
		}
		last = h.String()
	}
}

// silent says that Watch tells no more.
func (w *watch) silent() error {
	select {
	case h := <-w.told:
		return fmt.Errorf("Watch told more: %s", h)
	case <-w.ended:
		return nil
	case <-w.e.ctx.Done():
		return errors.New("waited in vain for Watch to end")
	}
}

func h1Ends(e *env) error {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	w := e.watch(ctx)
	h, err := w.next()
	if err != nil {
		return err
	}
	if now := e.b.Health(); h.State != now.State || !h.Since.Equal(now.Since) {
		return fmt.Errorf("Watch began with %s, and Health says %s", h, now)
	}
	cancel()
	if err := w.silent(); err != nil {
		return err
	}
	ended, cancel := context.WithCancel(e.ctx)
	cancel()
	for h := range messaging.Watch(ended, e.b) {
		return fmt.Errorf("the context has ended before, and Watch told %s", h)
	}
	return nil
}

func h1Close(e *env) error {
	b, err := e.busy(1, messaging.Source{})
	if err != nil {
		return err
	}
	w := e.watch(e.ctx)
	if _, err := w.next(); err != nil {
		return err
	}
	closed := make(chan error, 1)
	go func() { closed <- e.closeBroker(30 * time.Second) }()
	isClosed := func(h messaging.Health) bool { return h.State == messaging.Closed }
	if err := w.until("while Close waits for a handler, Closed", isClosed); err != nil {
		return err
	}
	if err := w.silent(); err != nil {
		return fmt.Errorf("after Closed, %w", err)
	}
	b.release <- nil
	if err := <-closed; err != nil {
		return fmt.Errorf("Close returned %w, though the handler had finished in time", err)
	}
	if err := b.stop(); !errors.Is(err, messaging.ErrClosed) {
		return fmt.Errorf("after Close, Subscribe returned %v, not ErrClosed", err)
	}
	w = e.watch(e.ctx)
	if h, err := w.next(); err != nil || !isClosed(h) {
		return fmt.Errorf("after Close, Watch told %s (%w), not Closed", h, err)
	}
	return w.silent()
}

func h1Subscriptions(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	w := e.watch(e.ctx)
	for range 2 {
		s, err := e.subscribe(messaging.Source{Address: q}, newInbox().accept)
		if err != nil {
			return err
		}
		if err := w.until("an active subscription", active(1)); err != nil {
			return err
		}
		if err := s.stop(); err != nil {
			return err
		}
		if err := w.until("no active subscription any more", active(0)); err != nil {
			return err
		}
	}
	return nil
}

// active is a connected broker with so many subscriptions.
func active(n int) func(messaging.Health) bool {
	return func(h messaging.Health) bool { return h.State == messaging.Connected && h.Subscriptions == n }
}

func h1Connection(e *env) error {
	if err := need(e.rig.Disconnect != nil, "Disconnect"); err != nil {
		return err
	}
	w := e.watch(e.ctx)
	if err := w.until("a connection", active(0)); err != nil {
		return err
	}
	for range 2 {
		lost := time.Now()
		e.rig.Disconnect()
		if err := w.until("a lost connection", func(h messaging.Health) bool {
			return h.State == messaging.Connecting && !h.Since.Before(lost) && h.LastError != nil
		}); err != nil {
			return err
		}
		back := time.Now()
		e.rig.Reconnect()
		if err := w.until("a connection again", func(h messaging.Health) bool {
			return active(0)(h) && !h.Since.Before(back)
		}); err != nil {
			return err
		}
	}
	return nil
}

func h1Blocked(e *env) error {
	if err := need(e.rig.Block != nil, "Block"); err != nil {
		return err
	}
	q, err := e.queue()
	if err != nil {
		return err
	}
	w := e.watch(e.ctx)
	var once sync.Once
	defer once.Do(e.rig.Unblock)
	e.rig.Block()
	told := make(chan error, 1)
	go func() {
		told <- w.until("blocked publishers", func(h messaging.Health) bool { return h.Blocked && h.BlockedReason != "" })
	}()
	if err := e.untilBlocked(q); !errors.Is(err, messaging.ErrBlocked) { // a broker may tell those only who publish
		return errors.Join(fmt.Errorf("while publishers are blocked, Publish %w, not ErrBlocked", err), <-told)
	}
	if err := <-told; err != nil {
		return err
	}
	once.Do(e.rig.Unblock)
	return w.until("publishers that are no longer blocked", func(h messaging.Health) bool {
		return h.State == messaging.Connected && !h.Blocked && h.BlockedReason == ""
	})
}

// h1Slow leaves the first Health where it is, in the body of the loop, while much
// happens.
func h1Slow(e *env) error {
	q, err := e.queue()
	if err != nil {
		return err
	}
	w := e.watch(e.ctx)
	if err := e.wait(e.ctx, w.began, "Watch to begin"); err != nil {
		return err
	}
	src := messaging.Source{Address: q}
	for range 5 {
		s, err := e.subscribe(src, newInbox().accept)
		if err != nil {
			return err
		}
		if err := s.stop(); err != nil {
			return err
		}
	}
	if _, err := e.subscribe(src, newInbox().accept); err != nil {
		return err
	}
	if _, err := w.next(); err != nil { // the first
		return err
	}
	h, err := w.next()
	if err != nil {
		return err
	}
	if now := e.b.Health(); !active(1)(h) || !active(1)(now) {
		return fmt.Errorf("Health says %s, and Watch told %s", now, h)
	}
	moment := time.NewTimer(100 * time.Millisecond)
	defer moment.Stop()
	select {
	case h := <-w.told:
		return fmt.Errorf("after the latest Health, Watch told %s", h)
	case <-moment.C:
		return nil
	}
}
