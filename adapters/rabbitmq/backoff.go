package rabbitmq

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is a wait that doubles from attempt to attempt (0 is the first), up
// to a limit, with half of it left to chance, so that clients that lost the
// broker together do not come back together.
func backoff(attempt int, first, most time.Duration) time.Duration {
	wait := most
	if attempt < 30 {
		wait = min(first<<attempt, most)
	}
	return wait/2 + rand.N(wait/2+1)
}

// The waits before connecting or subscribing again. The longest is such that
// everything is back within five seconds of the broker's return.
const (
	reconnectFirst = 100 * time.Millisecond
	reconnectMost  = 4 * time.Second
)

// pause waits, and says whether ctx lived on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// steady is how long a connection or a consumer must have lived for its loss to
// be answered at once.
const steady = time.Second
