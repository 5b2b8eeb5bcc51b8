package peers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Exchange is a broker in the process, with consumers that compete for the
// messages of one queue and acknowledge each.
type Exchange interface {
	// Publish sends n messages as its row has it. Each publisher, by number,
	// calls it once, all at the same time.
	Publish(ctx context.Context, publisher, n int) error
	Close() error
}

// OpenExchange makes one whose consumers are ready, and call handle for each
// message.
type OpenExchange func(ctx context.Context, load Load, handle func()) (Exchange, error)

// Load is what is put on an exchange.
type Load struct {
	Publishers, Consumers int
	Body                  []byte
}

// Exchanging measures a broker in the process: n messages from so many
// publishers to so many consumers, until the last is handled. None may be
// missing, and none too many.
func Exchanging(load Load, open OpenExchange) func(ctx context.Context, n int) (time.Duration, error) {
	return func(ctx context.Context, n int) (time.Duration, error) {
		per := n / load.Publishers
		span := newSpan(per * load.Publishers)
		x, err := open(ctx, load, span.message)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		err = errors.Join(publishAll(ctx, x, load.Publishers, per), span.await(ctx))
		took := span.last.Sub(start)
		err = errors.Join(err, x.Close())
		if got := span.count.Load(); err == nil && got != span.n {
			err = fmt.Errorf("%d messages arrived of %d", got, span.n)
		}
		return took, err
	}
}

func publishAll(ctx context.Context, x Exchange, publishers, per int) error {
	errs := make([]error, publishers)
	var all sync.WaitGroup
	for i := range publishers {
		all.Go(func() { errs[i] = x.Publish(ctx, i, per) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// await waits for the last message.
func (s *span) await(ctx context.Context) error {
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(stuck):
		return fmt.Errorf("only %d of %d messages arrived in %v", s.count.Load(), s.n, stuck)
	}
}
