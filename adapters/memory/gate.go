package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/pkg/messaging"
)

var errDisconnected = errors.New("not connected to the broker")

// use says what a call needs of the broker.
type use uint8

const (
	managing use = iota // goes through while publishers are blocked
	publishing
)

// enter waits until the broker can be used, and returns with b.mu held for
// reading. With an error it is not held.
func (b *Broker) enter(ctx context.Context, u use) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.RLock()
	if b.obstacle(u) == nil {
		return nil
	}
	b.mu.RUnlock()
	return b.await(ctx, u)
}

func (b *Broker) await(ctx context.Context, u use) error {
	ctx, cancel := b.limit(ctx)
	defer cancel()
	for {
		b.mu.RLock()
		err, changed := b.obstacle(u), b.changed
		if err == nil {
			return nil
		}
		b.mu.RUnlock()
		if errors.Is(err, messaging.ErrClosed) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// limit gives ctx the publish timeout where it has no deadline.
func (b *Broker) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, b.publishTimeout)
}

// obstacle is what keeps the broker from being used now. While it closes,
// running handlers may still publish, but nobody waits for better times. It
// needs b.mu.
func (b *Broker) obstacle(u use) error {
	switch {
	case b.closed:
		return messaging.ErrClosed
	case !b.down && (!b.blocked || u != publishing):
		return nil
	case b.closing:
		return messaging.ErrClosed
	case b.down:
		return errDisconnected
	default:
		return fmt.Errorf("%w (%s)", messaging.ErrBlocked, b.reason)
	}
}
