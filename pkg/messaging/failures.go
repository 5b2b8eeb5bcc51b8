package messaging

import (
	"log/slog"
	"sync"
	"time"
)

// failureInterval is how often a subscription with AutoAck logs at most that
// handlers fail.
const failureInterval = time.Second

// failures logs the failed handlers of a subscription with AutoAck. Nobody else
// keeps what they failed on, so it is worth a line; but a consumer that is fast
// and fails always would write as many lines as it gets messages. The first is
// logged at once, the others are counted in the next line, a second later at
// the earliest, or when the subscription ends.
type failures struct {
	log *slog.Logger

	mu     sync.Mutex
	logged time.Time // zero while nothing was
	others int       // failed since, and not logged
}

func (f *failures) add(d *Delivery, verdict error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.logged.IsZero() && time.Since(f.logged) < failureInterval {
		f.others++
		return
	}
	f.log.Warn("handler failed; the message was acknowledged before", "id", d.ID, "from", d.From, "error", verdict, "others", f.others, traceOf(d))
	f.logged, f.others = time.Now(), 0
}

// end logs what was counted and not logged.
func (f *failures) end(from Address) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.others > 0 {
		f.log.Warn("handlers failed; the messages were acknowledged before", "from", from, "others", f.others)
		f.others = 0
	}
}
