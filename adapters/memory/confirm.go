package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// doubt is a message of a Publish that is stored and not confirmed.
type doubt struct {
	index int
	at    time.Duration // when the confirmation comes, unless all are held back
}

const never = time.Duration(math.MaxInt64)

// doubt takes note of message i, which is stored, where it is not confirmed at
// once. It needs b.mu, for reading.
func (p *publication) doubt(i int, f *Fault) {
	if f == nil && !p.b.holding {
		return
	}
	if len(p.doubts) == 0 {
		p.losses = p.b.losses
	}
	p.doubts = append(p.doubts, doubt{i, f.confirmAt(p.b.now())})
}

// confirm waits until all that was stored is confirmed. What is not when the
// connection is lost is sent again.
func (p *publication) confirm(ctx context.Context) {
	ctx, cancel := p.b.limit(ctx)
	defer cancel()
	for len(p.doubts) > 0 {
		err := p.awaitConfirms(ctx)
		doubts := p.doubts
		p.doubts = nil
		if err != nil {
			p.giveUp(doubts, err)
		} else {
			p.again(ctx, doubts)
		}
	}
	slices.SortFunc(p.failed, func(a, b messaging.MessageError) int { return cmp.Compare(a.Index, b.Index) })
}

// awaitConfirms waits until nothing is in doubt, or the connection was lost:
// then what still is will not be confirmed any more.
func (p *publication) awaitConfirms(ctx context.Context) error {
	for {
		p.b.mu.RLock()
		held, changed, closing, lost := p.b.holding, p.b.changed, p.b.closing, p.b.losses != p.losses
		p.b.mu.RUnlock()
		switch {
		case lost:
			return nil
		case !held:
			p.takeConfirms()
		}
		switch {
		case len(p.doubts) == 0:
			return nil
		case closing:
			return messaging.ErrClosed
		case !p.pause(ctx, held, changed):
			return ctx.Err()
		}
	}
}

// takeConfirms ends the doubts whose time has come.
func (p *publication) takeConfirms() {
	now := p.b.now()
	p.doubts = slices.DeleteFunc(p.doubts, func(d doubt) bool { return d.at <= now })
}

// pause waits until there may be confirmations. It says no when ctx has ended.
func (p *publication) pause(ctx context.Context, held bool, changed <-chan struct{}) bool {
	var due <-chan time.Time
	next := slices.MinFunc(p.doubts, func(a, b doubt) int { return cmp.Compare(a.at, b.at) }).at
	if !held && next != never {
		timer := time.NewTimer(next - p.b.now())
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
	case <-due:
	case <-ctx.Done():
		return false
	}
	return true
}

// again sends what is in doubt once more. A queue that was deleted meanwhile is
// a clear answer, for each message; any other failure leaves the rest in doubt.
func (p *publication) again(ctx context.Context, doubts []doubt) {
	for i, d := range doubts {
		err := p.store(ctx, d.index, d.index+1)
		switch {
		case err == nil:
		case errors.Is(err, messaging.ErrUnroutable):
			p.fail(d.index, err)
		default:
			p.giveUp(doubts[i:], err)
			return
		}
	}
}

// giveUp fails what is in doubt.
func (p *publication) giveUp(doubts []doubt, err error) {
	for _, d := range doubts {
		p.fail(d.index, fmt.Errorf("%w: %w", messaging.ErrUnconfirmed, err))
	}
}
