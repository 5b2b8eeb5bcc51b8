package messaging_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// subscriber is a Subscriber, and no more, over a feed.
type subscriber struct {
	*feed
	err error // what Subscribe returns at once
}

func (s subscriber) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	if s.err != nil {
		return s.err
	}
	src, err := messaging.CheckSubscribe(from, h)
	if err != nil {
		return err
	}
	if src.Ready != nil {
		src.Ready()
	}
	return messaging.Workers{Source: src, Handler: h, Next: s.next, Log: quiet}.Run(ctx)
}

var q = messaging.Source{Address: messaging.Queue("q")}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(3)
		start := time.Now()
		var ids string
		for m, err := range messaging.Messages(t.Context(), subscriber{feed: f}, q, 10*time.Second) {
			if err != nil {
				t.Fatal(err)
			}
			ids += m.ID
			time.Sleep(time.Minute) // the body's own time is not idle time
			if err := m.Settle(nil); err != nil {
				t.Error(err)
			}
			if err := m.Settle(nil); !errors.Is(err, messaging.ErrSettled) {
				t.Errorf("settled twice: %v", err)
			}
		}
		if took := time.Since(start); ids != "012" || took != 3*time.Minute+10*time.Second {
			t.Errorf("got %s, and ended after %s", ids, took)
		}
		want(t, f, "acknowledge:3")
	})
}

// late is a subscriber that becomes ready after an hour: its broker is away.
type late struct{ subscriber }

func (l late) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	select {
	case <-time.After(time.Hour):
		return l.subscriber.Subscribe(ctx, from, h)
	case <-ctx.Done():
		return nil
	}
}

func TestMessagesIdleTimeBeginsWhenReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, n := time.Now(), 0
		for m, err := range messaging.Messages(t.Context(), late{subscriber{feed: newFeed(1)}}, q, time.Minute) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if err := m.Settle(nil); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); n != 1 || took != time.Hour+time.Minute {
			t.Errorf("%d messages after %s", n, took)
		}
	})
}

func TestMessagesLeftUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(3)
		var failure error
		n := 0
		for _, err := range messaging.Messages(t.Context(), subscriber{feed: f}, q, 0) {
			if failure = err; err == nil {
				n++
			}
		}
		if n != 1 || failure == nil || !strings.Contains(failure.Error(), "was not settled") {
			t.Errorf("%d messages, then %v", n, failure)
		}
		for action := range f.actions() { // the one that was left, and what came after it
			if action != "release" {
				t.Errorf("a message that nobody settled was settled: %v", f.actions())
			}
		}
	})
}

func TestMessagesBreakAndPanicGiveBack(t *testing.T) {
	for name, leave := range map[string]func() bool{
		"break": func() bool { return true },
		"panic": func() bool { panic("body") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(1) // of more, the next may have been fetched as well
				func() {
					defer func() { _ = recover() }()
					for range messaging.Messages(t.Context(), subscriber{feed: f}, q, 0) {
						if leave() {
							break
						}
					}
				}()
				synctest.Wait()
				want(t, f, "release:1") // and nothing is left running, or the bubble would not end
			})
		})
	}
}

func TestMessagesEndsWithItsContextOrItsSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for _, err := range messaging.Messages(ctx, subscriber{feed: newFeed(0)}, q, 0) {
			t.Error("a message, or an error:", err)
		}
		if ctx.Err() == nil {
			t.Error("ended before its context")
		}
		broken := errors.New("broken")
		var got error
		for _, err := range messaging.Messages(t.Context(), subscriber{err: broken}, q, 0) {
			got = err
		}
		if !errors.Is(got, broken) {
			t.Errorf("the subscription failed, and the loop got %v", got)
		}
	})
}

func TestMessagesAndGetRefuse(t *testing.T) {
	for _, err := range messaging.Messages(t.Context(), subscriber{feed: newFeed(0)}, messaging.Source{}, 0) {
		if err == nil || !strings.Contains(err.Error(), "Source.Address") {
			t.Errorf("no address: %v", err)
		}
	}
	for _, err := range messaging.Messages(t.Context(), subscriber{feed: newFeed(0)}, q, -1) {
		if err == nil || !strings.Contains(err.Error(), "idle") {
			t.Errorf("negative idle: %v", err)
		}
	}
	if _, err := messaging.Get(t.Context(), subscriber{feed: newFeed(0)}, messaging.Source{}); err == nil || !strings.Contains(err.Error(), "Source.Address") {
		t.Errorf("no address: %v", err)
	}
}

func TestGetBySubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(1)
		p, err := messaging.Get(t.Context(), subscriber{feed: f}, q)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Settle(errors.New("try again")); err != nil {
			t.Error(err)
		}
		want(t, f, "again:1")
		start := time.Now()
		if _, err := messaging.Get(t.Context(), subscriber{feed: f}, q); !errors.Is(err, messaging.ErrEmpty) {
			t.Errorf("an empty queue: %v", err)
		}
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("found it empty after %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := messaging.Get(ctx, subscriber{feed: f}, q); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		broken := errors.New("broken")
		if _, err := messaging.Get(t.Context(), subscriber{err: broken}, q); !errors.Is(err, broken) {
			t.Errorf("broken: %v", err)
		}
	})
}
