package rabbitmq

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// generation is one connection to the broker, from its opening to its loss.
// What belongs to it (channels, delivery tags, confirmations) means nothing in
// another generation: it fails there, instead of hitting another message.
type generation struct {
	conn   *amqp.Connection
	socket *socket
	host   string
	major  int // of the broker's version, 0 where it is unknown
	began  time.Time
	useful atomic.Bool // a message was confirmed or delivered on it

	closed <-chan *amqp.Error
	blocks <-chan amqp.Blocking
	block  atomic.Pointer[block] // nil while the broker takes messages

	lost  chan struct{} // closed once the connection is gone
	cause error         // why; set before lost is closed

	mu   sync.Mutex
	idle []*amqp.Channel // channels that somebody has used and left in order

	pulls   sync.Mutex
	pullers map[string]*puller // by queue

	delays sync.Mutex
	levels int // how many levels of wait queues have been declared
}

// block is a broker that takes no messages for now.
type block struct {
	reason string
	over   chan struct{} // closed when it takes messages again
}

func newGeneration(conn *amqp.Connection, s *socket, host string) *generation {
	version, _ := conn.Properties["version"].(string)
	number, _, _ := strings.Cut(version, ".")
	major, _ := strconv.Atoi(number)
	return &generation{
		conn:   conn,
		socket: s,
		host:   host,
		major:  major,
		began:  time.Now(),
		closed: conn.NotifyClose(make(chan *amqp.Error, 1)),
		blocks: conn.NotifyBlocked(make(chan amqp.Blocking, 16)),
		lost:   make(chan struct{}),

		pullers: map[string]*puller{},
	}
}

// watch returns when the connection is lost, with the reason, or nil when ctx
// has ended. changed is called when the broker blocks or unblocks, and proven
// once the connection has lived for a while.
func (g *generation) watch(ctx context.Context, changed func(*block), proven func(*generation)) error {
	young := time.NewTimer(steady)
	defer young.Stop()
	for {
		select {
		case reply := <-g.closed:
			return g.lossOf(reply)
		case b, open := <-g.blocks:
			if !open {
				g.blocks = nil
				continue
			}
			changed(g.setBlock(b))
		case <-young.C:
			proven(g)
		case <-ctx.Done():
			return nil
		}
	}
}

// use notes that the connection did what it is for.
func (g *generation) use() {
	if !g.useful.Load() {
		g.useful.Store(true)
	}
}

// wasUseful says whether it was worth connecting: something was done, or there
// was time enough for it.
func (g *generation) wasUseful() bool {
	return g.useful.Load() || time.Since(g.began) >= steady
}

func (g *generation) lossOf(reply *amqp.Error) error {
	var err error
	switch cause := g.socket.cause(); {
	case reply != nil && reply.Server:
		err = explain(reply)
	case cause != nil:
		err = cause
	case reply != nil:
		err = explain(reply)
	default:
		err = errCut
	}
	return fmt.Errorf("connection to %s lost: %w", g.host, err)
}

// setBlock is called by watch only.
func (g *generation) setBlock(b amqp.Blocking) *block {
	if old := g.block.Load(); old != nil {
		if b.Active {
			return old
		}
		g.block.Store(nil)
		close(old.over)
		return nil
	}
	if !b.Active {
		return nil
	}
	now := &block{reason: b.Reason, over: make(chan struct{})}
	g.block.Store(now)
	return now
}

// end says that the connection is gone. It is called once.
func (g *generation) end(cause error) {
	g.cause = cause
	close(g.lost)
}

// close says goodbye, and cuts where that takes too long or now is closed.
func (g *generation) close(now <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.conn.Close() // an error says that it was closed already
	}()
	timer := time.NewTimer(politeness)
	defer timer.Stop()
	select {
	case <-done:
	case <-now:
	case <-timer.C:
	}
	g.socket.end()
	<-done
}

// borrow returns a channel that nobody else uses.
func (g *generation) borrow() (*amqp.Channel, error) {
	g.mu.Lock()
	for len(g.idle) > 0 {
		ch := g.idle[len(g.idle)-1]
		g.idle = g.idle[:len(g.idle)-1]
		if !ch.IsClosed() {
			g.mu.Unlock()
			return ch, nil
		}
	}
	g.mu.Unlock()
	return g.conn.Channel()
}

// maxIdle is how many unused channels are kept.
const maxIdle = 8

// giveBack takes a channel back that is as it was when it was borrowed. One
// on which something failed is dropped: the broker has closed it.
func (g *generation) giveBack(ch *amqp.Channel) {
	g.mu.Lock()
	keep := !ch.IsClosed() && len(g.idle) < maxIdle
	if keep {
		g.idle = append(g.idle, ch)
	}
	g.mu.Unlock()
	if !keep {
		_ = ch.Close()
	}
}

// do runs f with a channel of its own, for what is asked of the broker and
// answered.
func (g *generation) do(f func(*amqp.Channel) error) error {
	ch, err := g.borrow()
	if err != nil {
		return err
	}
	err = f(ch)
	g.giveBack(ch)
	return err
}
