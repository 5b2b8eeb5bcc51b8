package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/pkg/messaging"
)

// HoldConfirms makes the broker store what is published and not confirm it:
// Publish waits, and gives up with ErrUnconfirmed. Where the connection is lost
// meanwhile, Publish sends again, so that the messages are there twice. It
// lasts until [Broker.ReleaseConfirms].
func (b *Broker) HoldConfirms() { b.setHolding(true) }

// ReleaseConfirms ends what [Broker.HoldConfirms] began.
func (b *Broker) ReleaseConfirms() { b.setHolding(false) }

func (b *Broker) setHolding(holding bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding = holding
	b.notify()
}

// confirm waits until all that was stored is confirmed.
func (p *publication) confirm(ctx context.Context) {
	ctx, cancel := p.b.limit(ctx)
	defer cancel()
	for p.doubtful {
		lost, err := p.b.awaitConfirm(ctx, p.losses)
		p.doubtful = false
		if lost || err != nil {
			p.again(ctx, err)
		}
	}
	slices.SortFunc(p.failed, func(a, b messaging.MessageError) int { return cmp.Compare(a.Index, b.Index) })
}

// again fails what is unconfirmed with err, or sends it again where err is nil.
func (p *publication) again(ctx context.Context, err error) {
	refused := map[int]bool{}
	for _, f := range p.failed {
		refused[f.Index] = true
	}
	for i := range p.msgs {
		if refused[i] {
			continue
		}
		if err == nil {
			err = p.store(ctx, i, i+1)
		}
		if err != nil {
			p.fail(i, fmt.Errorf("%w: %w", messaging.ErrUnconfirmed, err))
		}
	}
}

// awaitConfirm waits while confirms are held back. It says whether the
// connection was lost since there were so many losses: then there will be none.
func (b *Broker) awaitConfirm(ctx context.Context, losses int) (lost bool, err error) {
	for {
		b.mu.RLock()
		held, changed, closing := b.holding, b.changed, b.closing
		lost = b.losses != losses
		b.mu.RUnlock()
		switch {
		case lost || !held:
			return lost, nil
		case closing:
			return false, messaging.ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
