package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// Senders is how many goroutines publish where latency is measured.
const Senders = 64

// Sender is a publisher that sends one message at a time and awaits its
// confirm. So many as Senders call it at once, by number.
type Sender interface {
	Send(ctx context.Context, sender int, body []byte) error
	Close() error
}

// OpenSender connects one.
type OpenSender func(ctx context.Context, url, queue string) (Sender, error)

// Way is a publisher and the consumer of the same maker.
type Way struct {
	Open    OpenSender
	Consume Consume
}

// Paced sends messages at a rate for some time, and returns how long each took
// from when it was due until it was handled: a message that had to wait for
// its turn to be sent is late. The rate 0 is as fast as it goes.
func (r *RabbitMQ) Paced(ctx context.Context, w Way, rate float64, length time.Duration) (*measure.Calls, error) {
	calls := measure.NewCalls()
	err := r.withQueue(func(found int) bool { return found == 0 }, func(queue string) error {
		s, err := w.Open(ctx, r.URL, queue)
		if err != nil {
			return err
		}
		p := &paced{sender: s, start: time.Now(), calls: calls}
		return errors.Join(p.run(ctx, r, w, queue, rate, length), s.Close())
	})
	return calls, err
}

// paced is one measurement. A body begins with the time when the message was
// due, since start.
type paced struct {
	sender Sender
	start  time.Time
	calls  *measure.Calls
}

// run sends with the consumer at work, and returns when all has arrived.
func (p *paced) run(ctx context.Context, r *RabbitMQ, w Way, queue string, rate float64, length time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	returned := make(chan error, 1)
	arrived := make(chan struct{}, 1<<20)
	go func() {
		returned <- w.Consume(ctx, r.URL, queue, func(body []byte) {
			if due := time.Duration(binary.BigEndian.Uint64(body)); due > 0 {
				p.calls.Record(time.Since(p.start) - due)
			}
			arrived <- struct{}{}
		})
	}()
	// All connections and channels are there when the first have arrived.
	err := p.sendAll(ctx, func(i int) (time.Duration, bool) { return 0, i < Senders }, arrived)
	if err == nil {
		err = p.sendAll(ctx, p.dues(rate, length), arrived)
	}
	cancel()
	return errors.Join(err, <-returned)
}

// dues says when message i is due, and whether there are more after it.
func (p *paced) dues(rate float64, length time.Duration) func(i int) (time.Duration, bool) {
	begin := time.Since(p.start)
	return func(i int) (time.Duration, bool) {
		if rate == 0 {
			now := time.Since(p.start)
			return now, now < begin+length
		}
		after := time.Duration(float64(i) / rate * float64(time.Second))
		return begin + after, after < length
	}
}

// sendAll sends each message when it is due, and then waits for all of them.
func (p *paced) sendAll(ctx context.Context, due func(i int) (time.Duration, bool), arrived <-chan struct{}) error {
	dues := make(chan time.Duration)
	errs := make([]error, Senders)
	var all sync.WaitGroup
	for g := range Senders {
		all.Go(func() {
			for d := range dues {
				errs[g] = errors.Join(errs[g], p.send(ctx, g, d))
			}
		})
	}
	sent := 0
	for more := true; more; sent++ {
		var at time.Duration
		at, more = due(sent)
		time.Sleep(at - time.Since(p.start))
		dues <- at
	}
	close(dues)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i := range sent {
		select {
		case <-arrived:
		case <-time.After(stuck):
			return fmt.Errorf("only %d of %d messages arrived in %v", i, sent, stuck)
		}
	}
	return nil
}

func (p *paced) send(ctx context.Context, sender int, due time.Duration) error {
	body := make([]byte, BodySize)
	binary.BigEndian.PutUint64(body, uint64(due))
	return p.sender.Send(ctx, sender, body)
}
