package producer

import (
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Summary is what became of a Run.
type Summary struct {
	Sent    int // confirmed by the broker
	Failed  int
	Elapsed time.Duration
	// P50 and P99 are quantiles of the time from giving a message to the broker
	// to its confirmation. Messages go in batches, and the whole batch counts
	// as confirmed when its last message is.
	P50, P99 time.Duration
}

// String is one line.
func (s Summary) String() string {
	perSecond := 0.0
	if s.Elapsed > 0 {
		perSecond = float64(s.Sent) / s.Elapsed.Seconds()
	}
	return fmt.Sprintf("Sent %d, failed %d in %s (%.0f a second); confirm latency p50 %s, p99 %s",
		s.Sent, s.Failed, round(s.Elapsed), perSecond, round(s.P50), round(s.P99))
}

// round keeps three digits or so.
func round(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

// latency collects how long confirmations took, in a fixed amount of memory.
type latency struct{ histogram *hdrhistogram.Histogram }

const longestLatency = time.Hour

func newLatency() latency {
	const digits = 3
	return latency{hdrhistogram.New(1, longestLatency.Microseconds(), digits)}
}

func (l latency) record(took time.Duration, messages int) {
	took = min(took, longestLatency)
	_ = l.histogram.RecordValues(took.Microseconds(), int64(messages)) // in range by min
}

func (l latency) quantiles() (p50, p99 time.Duration) {
	at := func(percent float64) time.Duration {
		return time.Duration(l.histogram.ValueAtPercentile(percent)) * time.Microsecond
	}
	return at(50), at(99)
}

// named is how many failed messages an error names.
const named = 10

// failures keeps the first failed messages and counts the rest.
type failures struct {
	count int
	first []messaging.MessageError
}

// add takes the failed messages of a batch, the first of which was at position
// offset among all messages.
func (f *failures) add(offset int, failed []messaging.MessageError) {
	f.count += len(failed)
	for _, m := range failed[:min(len(failed), named-len(f.first))] {
		m.Index += offset
		f.first = append(f.first, m)
	}
}

// err is nil when nothing failed.
func (f *failures) err() error {
	if f.count == 0 {
		return nil
	}
	return f
}

// Error names the failed messages, counted from 1 as lines of a file are.
func (f *failures) Error() string {
	var b strings.Builder
	if f.count == 1 {
		b.WriteString("1 message failed:")
	} else {
		fmt.Fprintf(&b, "%d messages failed:", f.count)
	}
	for _, m := range f.first {
		fmt.Fprintf(&b, "\n  message %d (%s): %v", m.Index+1, m.ID, m.Err)
	}
	if more := f.count - len(f.first); more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// Unwrap lets errors.Is find out why.
func (f *failures) Unwrap() []error {
	errs := make([]error, len(f.first))
	for i, m := range f.first {
		errs[i] = m.Err
	}
	return errs
}
