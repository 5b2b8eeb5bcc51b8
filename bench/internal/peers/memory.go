package peers

import (
	"context"
	"errors"
	"sync"

	"github.com/warrenmq/warren/bench/internal/measure"
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
func Exchanging(meter *measure.Meter, load Load, open OpenExchange) measure.Work {
	return func(ctx context.Context, n int) (measure.Cost, error) {
		per := n / load.Publishers
		span := newSpan(meter, per*load.Publishers)
		x, err := open(ctx, load, span.message)
		if err != nil {
			return measure.Cost{}, err
		}
		start := meter.Read()
		err = errors.Join(publishAll(ctx, x, load.Publishers, per), span.await(ctx))
		cost := span.last.Since(start)
		return cost, errors.Join(err, x.Close(), span.check())
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
