package watermill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/warrenmq/warren/pkg/messaging"
)

// subscription is one Subscribe of a Broker.
type subscription struct {
	b      *Broker
	src    messaging.Source
	topic  string
	dead   string // topic of the dead letters
	ctx    context.Context
	cancel context.CancelCauseFunc // ends the intake

	jobs    chan messaging.Job
	shared  chan struct{}   // room for held messages, see [intake.room]
	intakes context.Context // ends what is left of the Watermill subscriptions
	cut     context.CancelFunc
	feeds   sync.WaitGroup // one for each Watermill subscription
	moves   sync.WaitGroup // messages on their way to another attempt or to the dead letters
	missing atomic.Int64   // Watermill subscriptions that are not open
}

// Subscribe handles messages, see [messaging.Subscriber]. It initializes the
// dead letters' topic too. Where the Watermill Subscriber refuses the first
// subscription, Subscribe returns its error; later it tries again.
func (b *Broker) Subscribe(ctx context.Context, from messaging.Source, h messaging.Handler) error {
	src, err := messaging.CheckSubscribe(from, h)
	if err != nil {
		return err
	}
	s, err := b.newSubscription(ctx, src)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", src.Address, err)
	}
	defer s.cut()
	defer s.cancel(nil)
	if !b.join(s) {
		return s.failed(messaging.ErrClosed)
	}
	err = s.run(h)
	b.leave(s, err)
	if errors.Is(context.Cause(s.ctx), messaging.ErrClosed) {
		err = errors.Join(messaging.ErrClosed, err)
	}
	return s.failed(err)
}

// errGroups says what to do, as the package's documentation does.
var errGroups = fmt.Errorf("groups and keys are the Watermill Subscriber's to configure: make a Broker of one that is (WithTopic), "+
	"and leave out Source.Group and Source.Keys: %w", errors.ErrUnsupported)

func (b *Broker) newSubscription(ctx context.Context, src messaging.Source) (*subscription, error) {
	if src.Group != "" || len(src.Keys) > 0 {
		return nil, errGroups
	}
	topic, err := b.topic(src.Address)
	if err != nil {
		return nil, err
	}
	dead, err := b.topic(src.Retry.DeadLetter)
	if err != nil {
		return nil, err
	}
	s := &subscription{
		b:     b,
		src:   src,
		topic: topic,
		dead:  dead,
		jobs:  make(chan messaging.Job),
	}
	s.shared = make(chan struct{}, src.Prefetch-s.width())
	s.intakes, s.cut = context.WithCancel(context.WithoutCancel(ctx))
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s, nil
}

// failed says of which subscription err is, nil for nil.
func (s *subscription) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("subscribe to %s: %w", s.src.Address, err)
}

func (s *subscription) run(h messaging.Handler) error {
	if s.ctx.Err() != nil {
		return nil
	}
	if err := s.start(); err != nil {
		s.cancel(nil)
		return errors.Join(err, s.finish())
	}
	err := messaging.Workers{
		Source:  s.src,
		Handler: h,
		Next:    s.next,
		Cut:     s.b.life.Done(),
		Log:     s.b.log,
	}.Run(s.ctx)
	return errors.Join(err, s.finish())
}

// start opens the Watermill subscriptions.
func (s *subscription) start() error {
	if err := s.b.initialize(s.src.Retry.DeadLetter); err != nil {
		return fmt.Errorf("prepare the dead letters: %w", err)
	}
	n := s.width()
	s.missing.Store(int64(n))
	for range n {
		in, err := s.open()
		if err != nil {
			return err
		}
		s.feeds.Go(func() { s.feed(in) })
	}
	return nil
}

// width is how many Watermill subscriptions there are: not more than Prefetch.
func (s *subscription) width() int {
	if s.b.competing && s.src.OrderBy == nil {
		return s.src.Concurrency
	}
	return 1
}

// opened counts a Watermill subscription that is open, and says so when all are.
func (s *subscription) opened() {
	if s.missing.Add(-1) == 0 && s.src.Ready != nil {
		s.src.Ready()
	}
}

func (s *subscription) active() bool { return s.missing.Load() == 0 && s.ctx.Err() == nil }

// next waits for a message to handle; nil is that there will be no more.
func (s *subscription) next(ctx context.Context) messaging.Job {
	select {
	case j := <-s.jobs:
		return j
	case <-ctx.Done():
		return nil
	}
}

// settleGrace is how long a Pub/Sub may take to carry out an Ack or a Nack
// before its subscription is ended.
const settleGrace = time.Second

// finish waits until everything has its place. A Watermill subscription that
// does not end is left behind.
func (s *subscription) finish() error {
	s.moves.Wait()
	defer time.AfterFunc(settleGrace, s.cut).Stop()
	ended := make(chan struct{})
	go func() { s.feeds.Wait(); close(ended) }()
	patience := time.NewTimer(max(s.src.ShutdownTimeout, 2*settleGrace))
	defer patience.Stop()
	select {
	case <-ended:
		return nil
	case <-patience.C:
	case <-s.b.life.Done():
	}
	return fmt.Errorf("the Watermill Subscriber has not closed its channel: %w", context.DeadlineExceeded)
}

// feed hands the messages of a Watermill subscription to the workers, and opens
// another where it ends by itself.
func (s *subscription) feed(in *intake) {
	own := in.own
	for in != nil {
		in.own = own // messages of the one before may still take it
		s.opened()
		if s.forward(in) {
			in.cancel()
		}
		in.end()
		in.giveBack()
		in = s.reopen()
	}
}

// forward returns when no more messages are wanted, or when there are none: it
// says whether the Watermill Subscriber has closed the channel.
func (s *subscription) forward(in *intake) (closed bool) {
	for {
		room := in.room()
		if room == nil {
			return false
		}
		m, ok := s.receive(in)
		if m == nil {
			<-room
			return !ok
		}
		j := newJob(in, m, room)
		if j.received.expired() {
			j.Settle(messaging.Decision{Action: messaging.Acknowledge})
			continue
		}
		select {
		case s.jobs <- j:
		case <-s.ctx.Done():
			j.Settle(messaging.Decision{Action: messaging.Release})
		}
	}
}

// receive returns nil where no more messages are wanted, and ok is false where
// there are none.
func (s *subscription) receive(in *intake) (m *message.Message, ok bool) {
	select {
	case m, ok = <-in.messages:
		return m, ok
	case <-s.ctx.Done():
		return nil, true
	}
}

// The first and the longest wait between attempts to open a subscription again.
const (
	reopenFirst = 100 * time.Millisecond
	reopenMost  = 5 * time.Second
)

// reopen tries until it has a subscription, or none is wanted: then it returns
// nil.
func (s *subscription) reopen() *intake {
	if s.ctx.Err() != nil {
		return nil
	}
	s.missing.Add(1)
	s.trouble(errors.New("the Watermill Subscriber closed the channel"))
	for wait := reopenFirst; pause(s.ctx, wait); wait = min(2*wait, reopenMost) {
		in, err := s.open()
		if err == nil {
			s.b.log.Info("subscription resumed", "from", s.src.Address)
			return in
		}
		s.trouble(err)
	}
	return nil
}

func (s *subscription) trouble(err error) {
	err = fmt.Errorf("subscription to %s interrupted: %w", s.src.Address, err)
	s.b.note(err)
	s.b.log.Warn("subscription interrupted; it resumes by itself", "from", s.src.Address, "error", err)
}

// pause says whether it was not interrupted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// intake is one Watermill subscription. It is ended when none of its messages
// is being handled any more: many Pub/Subs forget, with a subscription, what
// they have handed out, and would deliver it again.
type intake struct {
	s        *subscription
	messages <-chan *message.Message
	ctx      context.Context // the Watermill subscription's
	cancel   context.CancelFunc
	own      chan struct{} // room for one held message

	mu     sync.Mutex
	held   int // messages that the Pub/Sub waits for
	ending bool
}

func (s *subscription) open() (*intake, error) {
	ctx, cancel := context.WithCancel(s.intakes)
	messages, err := s.b.sub.Subscribe(ctx, s.topic)
	if err != nil {
		cancel()
		return nil, err
	}
	return &intake{s: s, messages: messages, ctx: ctx, cancel: cancel, own: make(chan struct{}, 1)}, nil
}

// room takes up room for one more held message, and returns what to receive
// from to give it up; nil when no more messages are wanted. All together there
// is room for Source.Prefetch of them, but some of it is each intake's own: a
// Pub/Sub that hands out one message at a time leaves the intakes waiting whose
// message is being handled, and they must not take it all.
func (in *intake) room() chan struct{} {
	select {
	case in.own <- struct{}{}:
		return in.own
	default:
	}
	select {
	case in.own <- struct{}{}:
		return in.own
	case in.s.shared <- struct{}{}:
		return in.s.shared
	case <-in.s.ctx.Done():
		return nil
	}
}

func (in *intake) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ending = true
	if in.held == 0 {
		in.cancel()
	}
}

func (in *intake) hold() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.held++
}

func (in *intake) release() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.held--
	if in.ending && in.held == 0 {
		in.cancel()
	}
}

// giveBack returns what comes until the subscription has ended. All must be
// read: some Pub/Subs never end while a message waits to be.
func (in *intake) giveBack() {
	<-in.ctx.Done()
	for m := range in.messages {
		m.Nack()
	}
}
