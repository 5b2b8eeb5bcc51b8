package messagingtest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// labelKey is the profiler label that a case's goroutines have. A goroutine
// inherits the labels of the one that started it, so that the goroutines of
// one case can be told from those of the others that run at the same time.
const labelKey = "messagingtest"

func (e *env) label() {
	e.name += "-" + messaging.NewID()[:13]
	pprof.SetGoroutineLabels(pprof.WithLabels(e.ctx, pprof.Labels(labelKey, e.name)))
}

func (e *env) unlabel() { pprof.SetGoroutineLabels(context.Background()) }

// leaked waits until none of the case's goroutines is left but the one that
// calls it. There is no event for the end of a goroutine: it looks again and
// again, for a while.
func (e *env) leaked() error {
	const patience = 5 * time.Second
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var left []string
	for range patience / (5 * time.Millisecond) {
		if left = e.goroutines(); len(left) == 0 {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("goroutines are left running:\n%s", strings.Join(left, "\n\n"))
}

// goroutines returns the stacks of the case's goroutines without the caller's.
func (e *env) goroutines() []string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return []string{err.Error()}
	}
	label := fmt.Sprintf("%q:%q", labelKey, e.name) // a broker in the process may have labels with names of queues
	var left []string
	for stack := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(stack, label) && !strings.Contains(stack, "messagingtest.(*env).goroutines") {
			left = append(left, stack)
		}
	}
	return left
}
