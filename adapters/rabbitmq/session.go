package rabbitmq

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// session is a lane's channel between its opening and its end.
type session struct {
	gen     *generation
	ch      *amqp.Channel
	permits chan struct{} // holds one for each message that is not confirmed
	opened  time.Time
	stale   atomic.Bool // another one is to be opened for what comes next

	dead  chan struct{} // closed when the channel is
	cause *amqp.Error   // why; set before dead is closed

	// returns holds what nobody took. Its buffer is as large as the window:
	// amqp091-go's reader puts a message here before it passes on the
	// confirmation, and must find room, since it drops what it cannot put.
	returns <-chan amqp.Return
	mu      sync.Mutex
	back    map[returnKey]int // returned, and not claimed by their callers yet
}

// returnKey is what a returned message is recognised by.
type returnKey struct{ exchange, key, id string }

// outcome is what a confirmation means.
type outcome int

const (
	stored   outcome = iota
	returned         // nobody took it
	refused          // the broker could not store it
	lost             // the channel was closed first: nobody knows
)

// newSession opens a channel on g for messages of which so many may be
// unconfirmed. Its end is waited for by running.
func newSession(g *generation, window int, running *sync.WaitGroup) (*session, error) {
	ch, err := g.conn.Channel()
	if err != nil {
		return nil, err
	}
	s := &session{
		gen: g, ch: ch, opened: time.Now(),
		permits: make(chan struct{}, window),
		returns: ch.NotifyReturn(make(chan amqp.Return, window)),
		dead:    make(chan struct{}),
		back:    map[returnKey]int{},
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := ch.Confirm(false); err != nil {
		_ = ch.Close()
		return nil, err
	}
	running.Go(func() {
		s.cause = <-closed
		close(s.dead)
	})
	return s, nil
}

// usable says whether messages may be written to s.
func (s *session) usable() bool { return !s.ch.IsClosed() && !s.stale.Load() }

// retire closes a session to which nothing more is written, once everything
// on it is confirmed.
func (s *session) retire() {
	for range cap(s.permits) {
		select {
		case s.permits <- struct{}{}:
		case <-s.dead:
			return
		}
	}
	_ = s.ch.Close() // fails only with the connection
}

// publish hands a message to the connection, for which there is a permit. It
// does not wait for the network.
func (s *session) publish(m *outgoing) (*amqp.DeferredConfirmation, error) {
	return s.ch.PublishWithDeferredConfirm(m.exchange, m.key, m.mandatory, false, m.publishing)
}

// ending says whether err, of publish, comes from the end of the channel or
// connection: dead is closed then, or will be as soon as amqp091-go's reader knows.
func (s *session) ending(err error) bool {
	return s.ch.IsClosed() || s.gen.conn.IsClosed() || errors.Is(err, errCut) || errors.Is(err, amqp.ErrClosed)
}

// blocked is nil while the broker takes messages, otherwise it is closed when
// that may have changed.
func (s *session) blocked() <-chan struct{} {
	if block := s.gen.block.Load(); block != nil {
		return block.over
	}
	return nil
}

func (s *session) release() { <-s.permits }

// renewAfter is how old a session is at least when another replaces it.
const renewAfter = 200 * time.Millisecond

// distrust has what comes next sent on another channel. A channel that
// publishes to a quorum queue for the first time while the queue's leader is
// down keeps asking that node, and refuses everything until it is back, though
// there is a new leader (RabbitMQ 3.10).
func (s *session) distrust() {
	if time.Since(s.opened) >= renewAfter {
		s.stale.Store(true)
	}
}

// outcome says what became of m, whose confirmation c has come.
func (s *session) outcome(m *outgoing, c *amqp.DeferredConfirmation) outcome {
	switch {
	case c.Acked() && m.mandatory && s.wasReturned(m):
		return returned
	case c.Acked():
		return stored
	case s.ch.IsClosed(): // closing a channel ends its confirmations as a nack would
		return lost
	default:
		return refused
	}
}

// wasReturned says whether the broker sent m back. That comes before the
// confirmation, which is an ack all the same.
func (s *session) wasReturned(m *outgoing) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collect()
	if len(s.back) == 0 {
		return false
	}
	key := returnKey{m.exchange, m.key, m.publishing.MessageId}
	if s.back[key] == 0 {
		return false
	}
	if s.back[key]--; s.back[key] == 0 {
		delete(s.back, key)
	}
	return true
}

// collect empties returns into back.
func (s *session) collect() {
	for {
		select {
		case r, open := <-s.returns:
			if !open {
				return
			}
			s.back[returnKey{r.Exchange, r.RoutingKey, r.MessageId}]++
		default:
			return
		}
	}
}

// exception is the error for which the broker closed the channel and left the
// connection open: one of the messages was the reason. nil where it was not so.
func (s *session) exception() error {
	select {
	case <-s.dead:
	case <-s.gen.lost:
		return nil
	}
	if s.cause == nil || !isChannelException(s.cause) {
		return nil
	}
	return explain(s.cause)
}
