package chaos

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/pkg/messaging"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func deliver(l *ledger, consumer int, m *messaging.Message) {
	l.delivered(consumer, &messaging.Delivery{Message: *m})
}

// TestLedgerFindsEverything: books in which one of everything is wrong.
func TestLedgerFindsEverything(t *testing.T) {
	l := newLedger("test")
	p := l.publisher()
	msgs := l.next(p, 6)
	l.book(msgs, &messaging.PublishError{Failed: []messaging.MessageError{
		{Index: 4, Err: messaging.ErrUnconfirmed}, {Index: 5, Err: messaging.ErrTooLarge},
	}})
	deliver(l, 0, msgs[1])
	deliver(l, 0, msgs[0])                                                // after a later one
	deliver(l, 1, msgs[0])                                                // twice
	deliver(l, 0, msgs[2])                                                // in order
	deliver(l, 0, msgs[4])                                                // unconfirmed may come
	deliver(l, 0, msgs[5])                                                // what was refused may not
	deliver(l, 0, &messaging.Message{ID: "test-000-000006"})              // nobody sent it
	deliver(l, 0, &messaging.Message{ID: "other-0-0"})                    // nobody here
	deliver(l, 0, &messaging.Message{})                                   // nobody at all
	deliver(l, 0, &messaging.Message{ID: msgs[3].ID, Body: []byte("no")}) // not what was sent
	got, _ := l.snapshot()
	want := Totals{Confirmed: 4, Delivered: 4, Lost: 1, Phantom: 5, Duplicated: 1, Disordered: 1}
	if got != want {
		t.Errorf("the books say %+v, want %+v", got, want)
	}
	if l.failures("unconfirmed") != 1 || l.failures("too large") != 1 {
		t.Errorf("failures: %v", l.failed)
	}
}

// TestLedgerWaits: for what is still to come, and no longer than it may.
func TestLedgerWaits(t *testing.T) {
	l := newLedger("test")
	p := l.publisher()
	msgs := l.next(p, 2)
	l.book(msgs, nil)
	deliver(l, 0, msgs[0])
	if err := l.settle(t.Context(), 10*time.Millisecond, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got, _ := l.snapshot(); got.Lost != 1 {
		t.Errorf("one message never came, and %d are lost", got.Lost)
	}
	done := make(chan error, 1)
	go func() { done <- l.await(t.Context(), func(b Totals) bool { return b.Delivered == 2 }) }()
	deliver(l, 0, msgs[1])
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := l.await(ctx, func(Totals) bool { return false }); err == nil || err.Error() != "enough" {
		t.Errorf("await returned %v", err)
	}
}
