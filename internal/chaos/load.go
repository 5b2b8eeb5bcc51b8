package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// spec says how much happens while the fault does.
type spec struct {
	publishers int
	consumers  int
	batch      int           // messages of a Publish; defaults to 5
	patience   time.Duration // of a Publish; defaults to a minute
	work       time.Duration // of a handler
	prefetch   int           // of a consumer; defaults to 20
	pace       time.Duration // of a publisher, between one Publish and the next
	backlog    int           // messages that may wait to be delivered; defaults to 2000
}

func (s spec) withDefaults() spec {
	if s.batch == 0 {
		s.batch = 5
	}
	if s.patience == 0 {
		s.patience = time.Minute
	}
	if s.prefetch == 0 {
		s.prefetch = 20
	}
	if s.backlog == 0 {
		s.backlog = 2000
	}
	return s
}

// load is publishers and consumers at work on one queue.
type load struct {
	t     *trial
	spec  spec
	queue messaging.Address

	from       messaging.Publisher
	to         messaging.Subscriber
	publishing pool
	consuming  pool
	handle     messaging.Handler // called after the ledger; nil for none
	plain      bool              // bodies are the ID and a dot, which is what the programs show, and work on

	mu   sync.Mutex
	errs []error // of Subscribe
	over time.Duration
}

// pool is goroutines that end together.
type pool struct {
	stop context.CancelFunc
	all  sync.WaitGroup
}

func (p *pool) end() {
	if p.stop != nil {
		p.stop()
	}
	p.all.Wait()
}

// load starts consumers and publishers, which go on until finish.
func (t *trial) load(from messaging.Publisher, to messaging.Subscriber, q messaging.Address, s spec) *load {
	l := t.newLoad(from, to, q, s)
	l.consume(s.consumers)
	l.publish(s.publishers)
	return l
}

// newLoad is load with nobody at work yet.
func (t *trial) newLoad(from messaging.Publisher, to messaging.Subscriber, q messaging.Address, s spec) *load {
	l := &load{t: t, spec: s.withDefaults(), queue: q, from: from, to: to}
	t.cleanup(func() { l.publishing.end(); l.consuming.end() })
	return l
}

// publish starts so many publishers.
func (l *load) publish(n int) {
	ctx, stop := context.WithCancel(l.t.ctx)
	l.publishing.stop = stop
	for range n {
		l.publishing.all.Go(func() { l.publisher(ctx) })
	}
}

// publisher publishes until ctx ends. It holds back while much is on its way.
func (l *load) publisher(ctx context.Context) {
	me := l.t.ledger.publisher()
	for ctx.Err() == nil {
		few := func(b Totals) bool { return b.Lost < l.spec.backlog } // confirmed and not delivered
		if l.t.ledger.await(ctx, few) != nil {
			return
		}
		msgs := l.t.ledger.next(me, l.spec.batch)
		if l.plain {
			for _, m := range msgs {
				m.Body = []byte(m.ID + ".")
			}
		}
		_ = l.send(msgs) // what fails is in the books
		if l.spec.pace > 0 && pause(ctx, l.spec.pace) != nil {
			return
		}
	}
}

// send publishes msgs, enters what becomes of them, and measures by how much
// the call was late where its time was up.
func (l *load) send(msgs []*messaging.Message) error {
	// What was begun is not broken off by the end of the load.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.t.ctx), l.spec.patience)
	defer cancel()
	began := time.Now()
	err := l.from.Publish(ctx, l.queue, msgs...)
	l.t.ledger.book(msgs, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = max(l.over, time.Since(began)-l.spec.patience)
	return err
}

// lateness is by how much a Publish overstayed its deadline, at worst.
func (l *load) lateness() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// consume starts so many consumers, each with one handler at a time, and waits
// until all are subscribed: a fault that met one as it begins would be the error
// of Subscribe, and not one that it recovers from.
func (l *load) consume(n int) {
	ctx, stop := context.WithCancel(l.t.ctx)
	l.consuming.stop = stop
	var beginning sync.WaitGroup
	beginning.Add(n)
	for i := range n {
		l.consuming.all.Go(func() {
			begun := sync.OnceFunc(beginning.Done) // Ready is called again after each loss
			defer begun()
			src := messaging.Source{Address: l.queue, Prefetch: l.spec.prefetch, Ready: begun}
			err := l.to.Subscribe(ctx, src, func(ctx context.Context, d *messaging.Delivery) error { return l.handler(ctx, i, d) })
			if err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.errs = append(l.errs, err)
			}
		})
	}
	beginning.Wait()
}

func (l *load) handler(ctx context.Context, consumer int, d *messaging.Delivery) error {
	l.t.ledger.delivered(consumer, d)
	if l.handle != nil {
		return l.handle(ctx, d)
	}
	if l.spec.work > 0 {
		time.Sleep(l.spec.work) // what a handler does is not waiting
	}
	return nil
}

// progress waits until n more messages are confirmed, and as many delivered.
func (l *load) progress(n int) error {
	was, _ := l.t.ledger.snapshot()
	err := l.t.ledger.await(l.t.ctx, func(b Totals) bool {
		return b.Confirmed >= was.Confirmed+n && b.Delivered >= was.Delivered+n
	})
	if err != nil {
		now, _ := l.t.ledger.snapshot()
		return fmt.Errorf("no progress: %d confirmed, %d delivered since: %w", now.Confirmed-was.Confirmed, now.Delivered-was.Delivered, err)
	}
	return nil
}

// resumed measures how long it takes until messages are confirmed and
// delivered again.
func (l *load) resumed() error {
	began := time.Now()
	if err := l.progress(50); err != nil {
		return err
	}
	l.t.took("resumed within", time.Since(began))
	return nil
}

// lossPatience is how long nothing may come before what is missing is lost. It
// is more than any connection, retry or redelivery takes.
const lossPatience = 30 * time.Second

// quiet is how long is listened for what nobody expects.
const quiet = 300 * time.Millisecond

// finish lets what was begun end, waits until everything that was confirmed
// has been delivered, and ends the consumers.
func (l *load) finish() error {
	l.publishing.end()
	if err := l.t.ledger.settle(l.t.ctx, lossPatience, quiet); err != nil {
		return err
	}
	l.consuming.end()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}
