package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

var service = messaging.Queue("service")

// responder runs f as a responder on a broker of its own, in a bubble.
func responder(t *testing.T, f func(context.Context, *messaging.Delivery) (*messaging.Message, error), test func(t *testing.T, b *memory.Broker)) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.WithLogger(slog.New(slog.DiscardHandler)))
		if err := b.Declare(t.Context(), messaging.QueueSpec{Name: service.Name()}); err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		if f != nil {
			running.Go(func() {
				err := b.Subscribe(t.Context(), messaging.Source{Address: service, Concurrency: 16}, messaging.Respond(b, f))
				if !errors.Is(err, messaging.ErrClosed) {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		test(t, b)
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
}

func upper(_ context.Context, d *messaging.Delivery) (*messaging.Message, error) {
	return &messaging.Message{Body: []byte(strings.ToUpper(string(d.Body)))}, nil
}

func TestRequestManyInFlight(t *testing.T) {
	slowestFirst := func(ctx context.Context, d *messaging.Delivery) (*messaging.Message, error) {
		var n int
		if _, err := fmt.Sscan(string(d.Body), &n); err != nil {
			return nil, err
		}
		time.Sleep(time.Duration(20-n) * time.Second) // replies come in the reverse order
		return upper(ctx, d)
	}
	responder(t, slowestFirst, func(t *testing.T, b *memory.Broker) {
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				want := fmt.Sprint(i)
				d, err := messaging.Request(t.Context(), b, service, &messaging.Message{Body: []byte(want)})
				if err != nil || string(d.Body) != want {
					t.Errorf("request %d: %v, %v", i, d, err)
				}
			})
		}
		all.Wait()
	})
}

func TestRequestGetsTheRespondersError(t *testing.T) {
	fail := func(context.Context, *messaging.Delivery) (*messaging.Message, error) {
		return nil, messaging.Reject(errors.New("no such customer"))
	}
	responder(t, fail, func(t *testing.T, b *memory.Broker) {
		_, err := messaging.Request(t.Context(), b, service, &messaging.Message{})
		var reply *messaging.ReplyError
		if !errors.As(err, &reply) || reply.Text != "no such customer" || reply.From != service {
			t.Errorf("%v", err)
		}
		synctest.Wait() // the answer is sent before the request is settled
		if info, err := b.Inspect(t.Context(), service); err != nil || info.Ready+info.Unsettled != 0 {
			t.Errorf("the request is not done: %+v, %v", info, err)
		}
	})
}

func TestRespondMayAskForAnotherTry(t *testing.T) {
	tries := 0
	busy := func(ctx context.Context, d *messaging.Delivery) (*messaging.Message, error) {
		if tries++; tries == 1 {
			return nil, messaging.RetryAfter(time.Second, errors.New("busy"))
		}
		return upper(ctx, d)
	}
	responder(t, busy, func(t *testing.T, b *memory.Broker) {
		d, err := messaging.Request(t.Context(), b, service, &messaging.Message{Body: []byte("x")})
		if err != nil || string(d.Body) != "X" || tries != 2 {
			t.Errorf("%v, %v, after %d tries", d, err, tries)
		}
	})
}

// TestRespondersErrorAfterTheLastAttempt: who is always busy is an error in the
// end, and the request is no dead letter.
func TestRespondersErrorAfterTheLastAttempt(t *testing.T) {
	tries := 0
	busy := func(context.Context, *messaging.Delivery) (*messaging.Message, error) {
		tries++
		return nil, fmt.Errorf("try %d: %w", tries, messaging.RetryAfter(time.Second, errors.New("busy")))
	}
	responder(t, busy, func(t *testing.T, b *memory.Broker) {
		_, err := messaging.Request(t.Context(), b, service, &messaging.Message{})
		var reply *messaging.ReplyError
		if !errors.As(err, &reply) || reply.Text != "try 5: busy" {
			t.Errorf("after %d tries: %v", tries, err)
		}
		if dead := b.DeadLetters(service); len(dead) > 0 {
			t.Errorf("answered, and a dead letter: %v", dead)
		}
	})
}

func TestRespondersRetryWithAutoAckIsTheReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		ended := make(chan error, 1)
		busy := messaging.Respond(b, func(context.Context, *messaging.Delivery) (*messaging.Message, error) {
			return nil, messaging.Requeue(errors.New("not me"))
		})
		go func() { ended <- b.Subscribe(t.Context(), messaging.Source{Address: service, AutoAck: true}, busy) }()
		synctest.Wait()
		_, err := messaging.Request(t.Context(), b, service, &messaging.Message{})
		if reply := (*messaging.ReplyError)(nil); !errors.As(err, &reply) || reply.Text != "not me" {
			t.Errorf("%v", err)
		}
		if err := errors.Join(b.Close(t.Context()), <-ended); !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("at the end: %v", err)
		}
	})
}

func TestRequestGetsTheRespondersPanic(t *testing.T) {
	fail := func(context.Context, *messaging.Delivery) (*messaging.Message, error) { panic("on purpose") }
	responder(t, fail, func(t *testing.T, b *memory.Broker) {
		start := time.Now()
		_, err := messaging.Request(t.Context(), b, service, &messaging.Message{})
		var reply *messaging.ReplyError
		if !errors.As(err, &reply) || reply.Text != "responder panicked: on purpose" || time.Since(start) != 0 {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

func TestRequestTimesOutAndTheRequestExpires(t *testing.T) {
	responder(t, nil, func(t *testing.T, b *memory.Broker) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := messaging.Request(ctx, b, service, &messaging.Message{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody answers: %v", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("took %s", took)
		}
		time.Sleep(time.Second)
		if _, err := messaging.Get(t.Context(), b, messaging.Source{Address: service}); !errors.Is(err, messaging.ErrEmpty) {
			t.Errorf("the request is still there: %v", err)
		}
		start = time.Now()
		if _, err := messaging.Request(t.Context(), b, service, &messaging.Message{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a deadline: %v", err)
		}
		if took := time.Since(start); took != messaging.DefaultRequestTimeout {
			t.Errorf("without a deadline it took %s", took)
		}
	})
}

func TestLateRepliesAreDroppedAndCounted(t *testing.T) {
	slow := func(ctx context.Context, d *messaging.Delivery) (*messaging.Message, error) {
		time.Sleep(2 * time.Second)
		return upper(ctx, d)
	}
	responder(t, slow, func(t *testing.T, b *memory.Broker) {
		r := messaging.NewRequester(b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Request(ctx, service, &messaging.Message{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if r.Late() != 1 {
			t.Errorf("%d late replies", r.Late())
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestAfterAConnectionWasLost(t *testing.T) {
	responder(t, upper, func(t *testing.T, b *memory.Broker) {
		for range 2 {
			if d, err := messaging.Request(t.Context(), b, service, &messaging.Message{Body: []byte("x")}); err != nil || string(d.Body) != "X" {
				t.Errorf("%v, %v", d, err)
			}
			b.Disconnect()
			b.Reconnect()
			synctest.Wait()
		}
	})
}

// TestRequestInFlightOverALoss: a reply that comes after the loss arrives, and
// where none comes, the error says that one may have been lost.
func TestRequestInFlightOverALoss(t *testing.T) {
	var replies bool
	var over chan struct{} // closed when the test is
	slow := func(ctx context.Context, d *messaging.Delivery) (*messaging.Message, error) {
		time.Sleep(time.Second)
		if !replies {
			<-over
		}
		return upper(ctx, d)
	}
	for _, replies = range []bool{true, false} {
		responder(t, slow, func(t *testing.T, b *memory.Broker) {
			over = make(chan struct{})
			time.AfterFunc(500*time.Millisecond, func() { b.Disconnect(); b.Reconnect() })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			d, err := messaging.Request(ctx, b, service, &messaging.Message{Body: []byte("x")})
			switch {
			case replies && (err != nil || string(d.Body) != "X"):
				t.Errorf("the reply came after the loss: %v, %v", d, err)
			case !replies && (!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the connection was lost meanwhile, and maybe a reply with it")):
				t.Errorf("no reply came: %v", err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := messaging.Request(ctx, b, service, &messaging.Message{}); !replies && strings.Contains(err.Error(), "lost") {
				t.Errorf("nothing was lost: %v", err)
			}
			close(over)
		})
	}
}

// TestRequesterClose: in whatever a request waits for, Close ends it with
// ErrClosed, and no other follows.
func TestRequesterClose(t *testing.T) {
	for name, prepare := range map[string]func(b *memory.Broker){
		"the reply":       func(*memory.Broker) {},
		"the reply queue": func(b *memory.Broker) { b.Disconnect() },
		"the request to be stored": func(b *memory.Broker) {
			b.HoldConfirms()
		},
	} {
		t.Run(name, func(t *testing.T) {
			responder(t, nil, func(t *testing.T, b *memory.Broker) {
				prepare(b)
				r := messaging.NewRequester(b)
				result := make(chan error, 1)
				go func() {
					_, err := r.Request(t.Context(), service, &messaging.Message{})
					result <- err
				}()
				synctest.Wait()
				for range 2 {
					if err := r.Close(); err != nil {
						t.Errorf("Close returned %v", err)
					}
				}
				for what, err := range map[string]error{"in flight": <-result, "afterwards": second(r.Request(t.Context(), service, &messaging.Message{}))} {
					if !errors.Is(err, messaging.ErrClosed) || !strings.Contains(err.Error(), "request to queue:service: the Requester is closed") {
						t.Errorf("%s: %v", what, err)
					}
				}
				b.Reconnect()
				b.ReleaseConfirms()
				if err := b.Publish(t.Context(), service, &messaging.Message{}); err != nil {
					t.Errorf("the Broker goes on: %v", err)
				}
			})
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestRequesterCloseUnused(t *testing.T) {
	responder(t, nil, func(t *testing.T, b *memory.Broker) {
		r := messaging.NewRequester(b)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Request(t.Context(), service, &messaging.Message{}); !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestRequestOnAClosedBroker(t *testing.T) {
	responder(t, nil, func(t *testing.T, b *memory.Broker) {
		result := make(chan error, 1)
		go func() {
			_, err := messaging.Request(t.Context(), b, service, &messaging.Message{})
			result <- err
		}()
		synctest.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, messaging.ErrClosed) || !strings.Contains(err.Error(), "the broker is closed") {
			t.Errorf("in flight: %v", err)
		}
		if _, err := messaging.Request(t.Context(), b, service, &messaging.Message{}); !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestRequestRefuses(t *testing.T) {
	responder(t, nil, func(t *testing.T, b *memory.Broker) {
		for want, m := range map[string]*messaging.Message{
			"Message is nil":  nil,
			"Message.ReplyTo": {ReplyTo: "mine"},
			"Message.Delay":   {Delay: -1},
		} {
			if _, err := messaging.Request(t.Context(), b, messaging.Address{}, m); err == nil || err.Error() != "request: Address is empty; use Queue(name) or Topic(name)" {
				t.Errorf("to no address: %v", err)
			}
			if _, err := messaging.Request(t.Context(), b, service, m); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want an error with %q, got: %v", want, err)
			}
		}
		if _, err := messaging.Request(t.Context(), b, messaging.Queue("nobody"), &messaging.Message{}); !errors.Is(err, messaging.ErrUnroutable) {
			t.Errorf("no such service: %v", err)
		}
	})
}

func TestRespondToNobody(t *testing.T) {
	called := 0
	h := func(p messaging.Publisher) messaging.Handler {
		return messaging.Respond(p, func(context.Context, *messaging.Delivery) (*messaging.Message, error) {
			called++
			return nil, nil
		})
	}
	responder(t, nil, func(t *testing.T, b *memory.Broker) {
		err := h(b)(t.Context(), &messaging.Delivery{})
		if messaging.Decide(err, 1, messaging.Retry{MaxAttempts: 5}).Action != messaging.DeadLetter || called != 0 {
			t.Errorf("without ReplyTo: %v, called %d times", err, called)
		}
		err = h(b)(t.Context(), &messaging.Delivery{Message: messaging.Message{ReplyTo: "a\nb"}})
		if messaging.Decide(err, 1, messaging.Retry{MaxAttempts: 5}).Action != messaging.DeadLetter || called != 0 ||
			!strings.Contains(err.Error(), "ReplyTo has a control character") {
			t.Errorf("with a ReplyTo that is no queue: %v, called %d times", err, called)
		}
		if err := h(b)(t.Context(), &messaging.Delivery{Message: messaging.Message{ReplyTo: "gone"}}); err != nil || called != 1 {
			t.Errorf("the reply queue is gone: %v", err)
		}
	})
}

func TestRedriveRefuses(t *testing.T) {
	responder(t, nil, func(t *testing.T, b *memory.Broker) {
		for want, opts := range map[string]messaging.RedriveOptions{
			"RedriveOptions.Max is negative":  {Max: -1},
			"RedriveOptions.To is topic:t":    {To: messaging.Topic("t")},
			"RedriveOptions.To.Name is empty": {To: messaging.Queue("")},
			"is the dead-letter queue itself": {To: service},
		} {
			if _, err := messaging.Redrive(t.Context(), b, service, opts); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want an error with %q, got: %v", want, err)
			}
		}
		_, err := messaging.Redrive(t.Context(), b, messaging.Queue(""), messaging.RedriveOptions{})
		if err == nil || err.Error() != "redrive: Address.Name is empty; it needs 1 to 255 bytes" {
			t.Errorf("no name: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := messaging.Redrive(ctx, b, service, messaging.RedriveOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if n, err := messaging.Redrive(t.Context(), b, service, messaging.RedriveOptions{}); n != 0 || err != nil {
			t.Errorf("nothing to do: %d, %v", n, err)
		}
	})
}

// noMove is a Subscriber without Getter whose moves fail: the message comes
// back to the head of its queue.
type noMove struct{ *memory.Broker }

func (n noMove) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	return n.Broker.Subscribe(ctx, from, func(ctx context.Context, d *messaging.Delivery) error {
		err := h(ctx, d)
		if err != nil && messaging.Decide(err, 1, messaging.Retry{}).Action == messaging.Move {
			return messaging.Requeue(err)
		}
		return err
	})
}

func TestRedriveOfWhatComesBackEnds(t *testing.T) {
	responder(t, nil, func(t *testing.T, b *memory.Broker) {
		if err := b.Publish(t.Context(), service, &messaging.Message{}); err != nil {
			t.Fatal(err)
		}
		without := struct{ messaging.Broker }{noMove{b}} // hides Get
		n, err := messaging.Redrive(t.Context(), without, service, messaging.RedriveOptions{To: messaging.Queue("nowhere")})
		if n != 0 || err == nil || !strings.Contains(err.Error(), "it came back") {
			t.Errorf("moved %d, %v", n, err)
		}
	})
}
