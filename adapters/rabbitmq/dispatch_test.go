package rabbitmq

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// awayDispatch is a call while the broker is away, of n messages of which those
// in bad cannot be sent.
func awayDispatch(ctx context.Context, n int, bad ...int) (*dispatch, *lane) {
	p := &publisher{cfg: &config{publishTimeout: time.Minute}, link: &link{}, cut: make(chan struct{})}
	d := &dispatch{p: p, ctx: ctx, msgs: make([]sending, n), encode: func(i int) (outgoing, error) {
		if slices.Contains(bad, i) {
			return outgoing{}, messaging.ErrTooLarge
		}
		return outgoing{}, nil
	}}
	return d, &lane{p: p, opening: make(chan struct{})} // which never ends
}

// TestWhatCannotBeSentDoesNotWait: nor for a connection.
func TestWhatCannotBeSentDoesNotWait(t *testing.T) {
	d, l := awayDispatch(context.Background(), 2, 0, 1)
	defer d.stop()
	done := make(chan []int, 1)
	go func() {
		todo := []int{0, 1}
		d.attempt(l, todo)
		done <- d.left(todo)
	}()
	if left := next(t, done, "the end of the call"); len(left) != 0 || !errors.Is(errors.Join(d.errors()...), messaging.ErrTooLarge) {
		t.Errorf("left are %v, the errors %v; want none, and ErrTooLarge", left, d.errors())
	}
}

// TestWaitingKeepsTheList: what is to be sent is listed once each when some of a
// call cannot be sent, however long the broker was away.
func TestWaitingKeepsTheList(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d, l := awayDispatch(ctx, 4, 0, 2)
	defer d.stop()
	encode := d.encode
	d.encode = func(i int) (outgoing, error) {
		if i == 3 { // the last one: the call has looked at all of them
			cancel()
		}
		return encode(i)
	}
	todo := []int{0, 1, 2, 3}
	if s := d.open(l, todo); s != nil {
		t.Error("there is a session")
	}
	if left := d.left(todo); !slices.Equal(left, []int{1, 3}) {
		t.Errorf("%v are left to send, want 1 and 3", left)
	}
}

// TestCallEndsBetweenRounds: what was refused, and is not on its way again, is
// not stored for certain; what was on its way when its channel was lost may be.
func TestCallEndsBetweenRounds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, l := awayDispatch(ctx, 3)
	defer d.stop()
	d.msgs[0].refused = time.Now()
	d.msgs[1].unsure = true
	d.attempt(l, []int{0, 1, 2})
	for i, err := range d.errors() {
		rejected, unconfirmed := errors.Is(err, messaging.ErrRejected), errors.Is(err, messaging.ErrUnconfirmed)
		if rejected != (i == 0) || unconfirmed != (i == 1) || !errors.Is(err, context.Canceled) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if n := len(d.errors()); n != 3 {
		t.Errorf("%d messages have a result, want 3", n)
	}
}

// TestOnlyConfirmationsAreProgress: channels that open and are lost do not
// prolong a call whose context has no deadline.
func TestOnlyConfirmationsAreProgress(t *testing.T) {
	d, _ := awayDispatch(context.Background(), 1)
	d.p.cfg.publishTimeout = 100 * time.Millisecond
	defer d.stop()
	for range 100 {
		soon := make(chan struct{})
		time.AfterFunc(20*time.Millisecond, func() { close(soon) })
		if !d.wait(soon) {
			if !d.impatient {
				t.Error("the call ended, and not for want of patience")
			}
			return
		}
	}
	t.Error("waited a hundred times for 20 ms with a limit of 100 ms")
}

// panickyMarshaler is a user's with a mistake in it.
type panickyMarshaler struct{ Marshaler }

func (panickyMarshaler) Marshal(*message.Message) (amqp.Publishing, error) { panic("a mistake") }

// TestMarshalerPanics: that is an error of the message.
func TestMarshalerPanics(t *testing.T) {
	if _, err := encode(panickyMarshaler{}, &messaging.Message{ID: "x"}); err == nil {
		t.Error("no error")
	}
}
