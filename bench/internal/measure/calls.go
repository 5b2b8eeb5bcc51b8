package measure

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Calls are durations: of calls, or of messages from end to end. Any goroutine
// may record; nil records nothing.
type Calls struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

// NewCalls has none. It tells durations apart to three digits, from a
// microsecond to a minute.
func NewCalls() *Calls {
	return &Calls{h: hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)}
}

// Record adds one.
func (c *Calls) Record(d time.Duration) {
	if c == nil {
		return
	}
	us := min(max(int64(d/time.Microsecond), 1), c.h.HighestTrackableValue())
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.h.RecordValue(us) // within its bounds
}

// Quantile is the duration that the share q, from 0 to 1, did not exceed.
func (c *Calls) Quantile(q float64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.h.ValueAtQuantile(100*q)) * time.Microsecond
}

// Count is how many there are.
func (c *Calls) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.h.TotalCount())
}

// Add adds all of other.
func (c *Calls) Add(other *Calls) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.h.Merge(other.h)
}

func (c *Calls) reset() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.h.Reset()
}
