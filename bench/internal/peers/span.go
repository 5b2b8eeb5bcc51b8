package peers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// span counts n messages, and reads the meter at the first and the last.
type span struct {
	meter       *measure.Meter
	n           int64
	count       atomic.Int64
	first, last measure.Reading
	done        chan struct{} // closed at the last
}

func newSpan(meter *measure.Meter, n int) *span {
	return &span{meter: meter, n: int64(n), done: make(chan struct{})}
}

// message counts one. Any goroutine may call it.
func (s *span) message() {
	i := s.count.Add(1)
	if i == 1 {
		s.first = s.meter.Read()
	}
	if i == s.n {
		s.last = s.meter.Read()
		close(s.done)
	}
}

// cost is for after done.
func (s *span) cost() measure.Cost { return s.last.Since(s.first) }

// check says whether all messages came, and none twice.
func (s *span) check() error {
	if got := s.count.Load(); got != s.n {
		return fmt.Errorf("%d messages were handled, and there were %d", got, s.n)
	}
	return nil
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
