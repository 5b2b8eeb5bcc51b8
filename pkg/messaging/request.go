package messaging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultRequestTimeout is how long a request waits for its reply where the
// context has no deadline.
const DefaultRequestTimeout = 30 * time.Second

// HeaderReplyError is the header of a reply that says that the responder
// failed, and how.
const HeaderReplyError = "warren-reply-error"

// ReplyError is a responder's error, as the requester gets it.
type ReplyError struct {
	From Address // whom the request was sent to
	Text string  // what the responder's error said
}

// Error names the responder and what it said.
func (e *ReplyError) Error() string { return fmt.Sprintf("%s replied: %s", e.From, e.Text) }

// Request sends m to an address and waits for the reply, until ctx ends, or
// for [DefaultRequestTimeout] where it has no deadline. It uses one [Requester]
// for each Broker, which lives until the Broker is closed.
//
// The error is a [*ReplyError] where the responder failed. When no reply came in
// time it is ctx's error; the request may have been handled all the same.
//
// The queue that replies come to goes with the connection, and comes back with
// the next under the same name. A reply that is sent in between, or was not
// received before, is lost: nobody can tell that from a responder that is still
// at work, so the request waits on until ctx ends, and then its error says that
// the connection was lost meanwhile.
func Request(ctx context.Context, b Broker, to Address, m *Message) (*Delivery, error) {
	return requesterOf(b).Request(ctx, to, m)
}

// Requester sends requests over one Broker. All replies come to one queue of
// its own, whatever the number of requests in flight.
type Requester struct {
	b    Broker
	late atomic.Int64

	mu      sync.Mutex
	session *session // nil where no request was sent yet, or the subscription has ended
	closed  bool
}

// errRequesterClosed is why a request has ended when [Requester.Close] was
// called. The Broker may live on.
var errRequesterClosed error = requesterClosed{}

type requesterClosed struct{}

func (requesterClosed) Error() string        { return "the Requester is closed" }
func (requesterClosed) Is(target error) bool { return target == ErrClosed }

// session is one subscription to one reply queue.
type session struct {
	queue  Address
	ctx    context.Context // ends when the Requester is closed
	cancel context.CancelFunc
	ready  chan struct{} // closed when replies can come
	begun  atomic.Int64  // how often they could anew: each but the first comes after a loss
	ended  chan struct{} // closed when the subscription has ended
	err    error         // why, once ended, where the Requester was not closed

	mu      sync.Mutex
	waiting map[string]chan *Delivery // by correlation ID
}

// NewRequester returns a Requester. Close it, or close b.
func NewRequester(b Broker) *Requester { return &Requester{b: b} }

var (
	requestersMu sync.Mutex
	requesters   = map[Broker]*Requester{}
)

// requesterOf returns the Requester that [Request] uses for b. A Broker that
// is no map key (a struct with slices, say) gets a new one each time.
func requesterOf(b Broker) *Requester {
	if b == nil || !reflect.TypeOf(b).Comparable() {
		return NewRequester(b)
	}
	requestersMu.Lock()
	defer requestersMu.Unlock()
	r := requesters[b]
	if r == nil {
		r = NewRequester(b)
		requesters[b] = r
	}
	return r
}

// forget lets go of a Broker whose subscription has ended.
func forget(b Broker, r *Requester) {
	if !reflect.TypeOf(b).Comparable() {
		return
	}
	requestersMu.Lock()
	defer requestersMu.Unlock()
	if requesters[b] == r {
		delete(requesters, b)
	}
}

// Late is how many replies came that nobody waited for any more. They are
// dropped.
func (r *Requester) Late() int64 { return r.late.Load() }

// Close ends the subscription to the replies and waits for that. Requests in
// flight fail with ErrClosed, and so do all that follow. The Broker stays open.
// Close may be called more than once.
func (r *Requester) Close() error {
	r.mu.Lock()
	s := r.session
	r.closed = true
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	s.cancel()
	<-s.ended
	return s.err
}

// Request is as the function [Request].
//
// The request expires when the reply would come too late: its TTL is the time
// that ctx has left, unless it has a shorter one.
func (r *Requester) Request(ctx context.Context, to Address, m *Message) (*Delivery, error) {
	if err := checkRequest(to, m); err != nil {
		return nil, err
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultRequestTimeout)
		defer cancel()
	}
	d, err := r.request(ctx, to, *m)
	if err != nil {
		return nil, fmt.Errorf("request to %s: %w", to, err)
	}
	if text, failed := d.Headers[HeaderReplyError]; failed {
		return nil, &ReplyError{From: to, Text: text}
	}
	return d, nil
}

func checkRequest(to Address, m *Message) error {
	if err := to.Validate(); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if m == nil {
		return fmt.Errorf("request to %s: %w", to, invalid("Message", "is nil; pass a *Message"))
	}
	if m.ReplyTo != "" {
		return fmt.Errorf("request to %s: %w", to, invalid("Message.ReplyTo", "is %q; Request uses a queue of its own", m.ReplyTo))
	}
	return nil
}

func (r *Requester) request(ctx context.Context, to Address, m Message) (*Delivery, error) {
	s, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	m.ReplyTo = s.queue.Name()
	m.CorrelationID = NewID()
	reply := s.expect(m.CorrelationID)
	defer s.forget(m.CorrelationID)

	deadline, _ := ctx.Deadline()
	left := max(time.Until(deadline), time.Millisecond)
	if m.TTL == 0 || m.TTL > left {
		m.TTL = min(left, MaxTTL)
	}
	begun := s.begun.Load()
	if err := r.publish(ctx, s, to, &m); err != nil {
		return nil, err
	}
	select {
	case d := <-reply:
		return d, nil
	case <-ctx.Done():
		if s.begun.Load() != begun {
			return nil, fmt.Errorf("no reply: %w; the connection was lost meanwhile, and maybe a reply with it", ctx.Err())
		}
		return nil, fmt.Errorf("no reply: %w", ctx.Err())
	case <-s.ended:
		return nil, s.why()
	}
}

// publish sends a request, for no longer than the Requester is open.
func (r *Requester) publish(ctx context.Context, s *session, to Address, m *Message) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := r.b.Publish(ctx, to, m)
	if err != nil && s.ctx.Err() != nil {
		return fmt.Errorf("%w: %w", errRequesterClosed, err)
	}
	return err
}

// start returns the session, once replies can come.
func (r *Requester) start(ctx context.Context) (*session, error) {
	s, err := r.open()
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ready:
		return s, nil
	case <-s.ended:
		return nil, s.why()
	case <-ctx.Done():
		return nil, fmt.Errorf("receive replies: %w", ctx.Err())
	}
}

// open returns the session, a new one where there is none.
func (r *Requester) open() (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errRequesterClosed
	}
	if r.session == nil {
		r.session = r.newSession()
	}
	return r.session, nil
}

// why is the reason for the end of a session.
func (s *session) why() error {
	if s.ctx.Err() != nil {
		return errRequesterClosed
	}
	return fmt.Errorf("receive replies: %w", s.err)
}

func (r *Requester) newSession() *session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{
		queue:   Queue("warren.reply." + NewID()),
		ctx:     ctx,
		cancel:  cancel,
		ready:   make(chan struct{}),
		ended:   make(chan struct{}),
		waiting: map[string]chan *Delivery{},
	}
	go func() {
		defer close(s.ended)
		defer r.drop(s)
		if err := r.receive(s); ctx.Err() == nil {
			s.err = cmp.Or(err, ErrClosed)
		}
	}()
	return s
}

func (r *Requester) receive(s *session) error {
	if err := r.b.Declare(s.ctx, QueueSpec{Name: s.queue.Name(), Exclusive: true, AutoDelete: true}); err != nil {
		return err
	}
	ready := func() {
		if s.begun.Add(1) == 1 {
			close(s.ready)
		}
	}
	return r.b.Subscribe(s.ctx, Source{Address: s.queue, AutoAck: true, Ready: ready}, func(_ context.Context, d *Delivery) error {
		if !s.deliver(d) {
			r.late.Add(1)
			slog.Debug("dropped a reply that nobody waits for any more", "id", d.ID, "correlation", d.CorrelationID)
		}
		return nil
	})
}

// drop lets the next request begin anew.
func (r *Requester) drop(s *session) {
	r.mu.Lock()
	if r.session == s {
		r.session = nil
	}
	r.mu.Unlock()
	forget(r.b, r)
}

func (s *session) expect(correlationID string) <-chan *Delivery {
	reply := make(chan *Delivery, 1)
	s.mu.Lock()
	s.waiting[correlationID] = reply
	s.mu.Unlock()
	return reply
}

func (s *session) forget(correlationID string) {
	s.mu.Lock()
	delete(s.waiting, correlationID)
	s.mu.Unlock()
}

// deliver says whether somebody waits for d.
func (s *session) deliver(d *Delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply, waiting := s.waiting[d.CorrelationID]
	if waiting {
		delete(s.waiting, d.CorrelationID)
		reply <- d
	}
	return waiting
}

// Respond returns a Handler that answers requests with what f returns. p sends
// the replies. A nil message is an empty reply.
//
// An error of f, or a panic, is the reply: the requester gets it as a
// [*ReplyError], at once, and the request is done. Only Requeue and RetryAfter
// keep their meaning, for a request that somebody else, or somebody later, is
// to answer. Where Subscribe calls the Handler and no attempt is left, or there
// is none because of Source.AutoAck, the error is the reply all the same.
//
// A request without a ReplyTo that is a queue's name is rejected, before f is called. Where the reply
// queue is gone, so is the requester: the reply is dropped and the request
// done. Any other failure to send the reply is tried again as Source.Retry
// says, and f with it.
func Respond(p Publisher, f func(context.Context, *Delivery) (*Message, error)) Handler {
	return func(ctx context.Context, d *Delivery) error {
		if d.ReplyTo == "" {
			return Reject(errors.New("a request without ReplyTo: there is nowhere to send the answer"))
		}
		if err := checkName("ReplyTo", d.ReplyTo); err != nil { // from a foreign requester
			return Reject(fmt.Errorf("a request whose reply can go nowhere: %w", err))
		}
		to, correlationID := Queue(d.ReplyTo), d.CorrelationID
		if correlationID == "" {
			correlationID = d.ID
		}
		var reply *Message
		err := guard(slog.Default(), "responder", d, func() (err error) {
			reply, err = f(ctx, d)
			return err
		})
		send := func(ctx context.Context) error {
			return sendReply(ctx, p, to, answer(reply, err, correlationID))
		}
		if v := (*verdict)(nil); errors.As(err, &v) && (v.action == Release || v.action == Again) {
			return &unanswered{error: err, answer: send}
		}
		return send(ctx)
	}
}

// unanswered is the verdict of a responder who leaves the answer to a later
// attempt. Where there is none, answer sends the error as the reply; what it
// returns is the verdict then.
type unanswered struct {
	error
	answer func(context.Context) error
}

func (u *unanswered) Unwrap() error { return u.error }

func sendReply(ctx context.Context, p Publisher, to Address, reply *Message) error {
	err := p.Publish(ctx, to, reply)
	if errors.Is(err, ErrUnroutable) {
		slog.Info("dropped a reply: its requester is gone", "reply-to", to, "correlation", reply.CorrelationID)
		return nil
	}
	return err
}

// answer makes the reply of what a responder returned.
func answer(reply *Message, err error, correlationID string) *Message {
	var m Message
	if reply != nil {
		m = *reply
	}
	if err != nil {
		m = Message{Headers: map[string]string{HeaderReplyError: shorten(textOf(err))}}
	}
	m.CorrelationID = correlationID
	return &m
}
