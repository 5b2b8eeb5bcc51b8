package rabbitmq

import (
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lane is one channel for publishing, renewed when it is lost, and the only
// goroutine that writes to it. Callers wait for confirmations themselves.
type lane struct {
	p      *publisher
	window int
	work   chan *batch
	load   atomic.Int64 // messages that callers have given it and wait for
}

func (l *lane) run() {
	var s *session
	for {
		select {
		case b := <-l.work:
			if s = l.ready(s); s != nil {
				s.write(b, l.p.end.Done())
			}
			b.finish()
		case <-l.p.end.Done():
			return
		}
	}
}

// ready returns a session that can be written to, the old one where it can be.
// It waits for as long as the broker is away; nil means the end.
func (l *lane) ready(s *session) *session {
	for l.p.end.Err() == nil {
		if s != nil && !s.ch.IsClosed() && !s.stale.Load() {
			return s
		}
		if s != nil {
			l.retire(s)
		}
		g, err := l.p.link.await(l.p.end)
		if err != nil {
			return nil
		}
		if s, err = l.open(g); err == nil {
			return s
		}
		s = nil
		if !g.recovered(l.p.end, l.p.cut) {
			return nil
		}
	}
	return nil
}

func (l *lane) open(g *generation) (*session, error) {
	ch, err := g.conn.Channel()
	if err != nil {
		return nil, err
	}
	s := &session{
		gen: g, ch: ch, opened: time.Now(),
		permits: make(chan struct{}, l.window),
		returns: ch.NotifyReturn(make(chan amqp.Return, l.window)),
		dead:    make(chan struct{}),
		back:    map[returnKey]int{},
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := ch.Confirm(false); err != nil {
		_ = ch.Close()
		return nil, err
	}
	l.p.running.Go(func() {
		s.cause = <-closed
		close(s.dead)
	})
	return s, nil
}

// retire closes a session to which nothing more is written, once everything
// on it is confirmed.
func (l *lane) retire(s *session) {
	l.p.running.Go(func() {
		for range l.window {
			select {
			case s.permits <- struct{}{}:
			case <-s.dead:
				return
			}
		}
		_ = s.ch.Close() // fails only with the connection
	})
}

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

// write writes the messages of b in order, until one is withdrawn, the channel
// is closed or end is.
func (s *session) write(b *batch, end <-chan struct{}) {
	for k, i := range b.index {
		if !s.unblocked(b, end) || !s.acquire(b, end) {
			return
		}
		if !b.begin(k, s) {
			s.release()
			return
		}
		m := &b.msgs[i]
		c, err := s.ch.PublishWithDeferredConfirm(m.exchange, m.key, m.mandatory, false, m.publishing)
		if err != nil {
			s.release()
			return
		}
		b.wrote(c)
	}
}

// unblocked waits until the broker takes messages.
func (s *session) unblocked(b *batch, end <-chan struct{}) bool {
	for {
		block := s.gen.block.Load()
		if block == nil {
			return true
		}
		select {
		case <-block.over:
		case <-s.dead:
			return false
		case <-b.gone:
			return false
		case <-end:
			return false
		}
	}
}

// acquire waits for a permit. Before it does, the caller of b is told to look
// at what was written, because its messages may be the ones to wait for.
func (s *session) acquire(b *batch, end <-chan struct{}) bool {
	select {
	case s.permits <- struct{}{}:
		return true
	default:
	}
	b.tell()
	select {
	case s.permits <- struct{}{}:
		return true
	case <-s.dead:
		return false
	case <-b.gone:
		return false
	case <-end:
		return false
	}
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
