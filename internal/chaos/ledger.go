package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// ledger keeps the books of one fault: every message that somebody tried to
// send, what its publisher was told, and how often it was delivered.
type ledger struct {
	name string // begins every ID, so that messages of other faults are strangers
	even bool   // every message is as long as every other

	mu      sync.Mutex
	changed chan struct{} // closed with each entry
	books   [][]entry     // by publisher, then in the order of sending
	last    map[[2]int]int
	totals  Totals
	missing int      // confirmed and not delivered so far
	strange []string // the first few phantoms
	failed  map[string]int
}

// entry is a message in the books.
type entry struct {
	confirmed bool
	refused   bool // its publisher was told that it is not stored, for good
	times     int  // how often it was delivered
}

// Totals is what the books say.
type Totals struct {
	Confirmed  int // messages that their publisher was told are stored
	Delivered  int // messages that were delivered, at least once
	Lost       int // confirmed and never delivered
	Phantom    int // deliveries of what nobody sent, or that was refused
	Duplicated int // deliveries after a message's first
	Disordered int // first deliveries to a consumer after a later message of the same publisher
}

func newLedger(name string) *ledger {
	return &ledger{name: name, changed: make(chan struct{}), last: map[[2]int]int{}, failed: map[string]int{}}
}

// filler makes bodies differ in length, the longest about a kilobyte.
const filler = "the quick brown fox jumps over the lazy dog, again and again; "

func (l *ledger) bodyOf(id string, seq int) string {
	if l.even {
		seq = 1
	}
	return id + ":" + strings.Repeat(filler, seq%17)
}

// opens a book for one more publisher and returns its number.
func (l *ledger) publisher() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books = append(l.books, nil)
	return len(l.books) - 1
}

// next enters n messages of a publisher, which it is now to send.
func (l *ledger) next(publisher, n int) []*messaging.Message {
	msgs := make([]*messaging.Message, n)
	for i := range msgs {
		id, seq := l.enter(publisher)
		msgs[i] = &messaging.Message{ID: id, Body: []byte(l.bodyOf(id, seq))}
	}
	return msgs
}

func (l *ledger) enter(publisher int) (id string, seq int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq = len(l.books[publisher])
	l.books[publisher] = append(l.books[publisher], entry{})
	return fmt.Sprintf("%s-%03d-%06d", l.name, publisher, seq), seq
}

// book enters what Publish returned for msgs.
func (l *ledger) book(msgs []*messaging.Message, err error) {
	failed := map[int]error{}
	var which *messaging.PublishError
	if errors.As(err, &which) {
		for _, f := range which.Failed {
			failed[f.Index] = f.Err
		}
	} else if err != nil {
		for i := range msgs {
			failed[i] = err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range msgs {
		if err := failed[i]; err != nil {
			l.fail(m.ID, err)
		} else {
			l.confirm(m.ID)
		}
	}
	l.wake()
}

// certain are the errors that say that a message is stored nowhere.
var certain = []error{messaging.ErrTooLarge, messaging.ErrUnroutable}

// fail and confirm are for callers that hold the lock.
func (l *ledger) fail(id string, err error) {
	l.failed[sentinel(err)]++
	for _, e := range certain {
		if errors.Is(err, e) {
			l.entry(id).refused = true
		}
	}
}

func (l *ledger) confirm(id string) {
	e := l.entry(id)
	e.confirmed = true
	l.totals.Confirmed++
	if e.times == 0 {
		l.missing++
	}
}

// sentinel names the reason of a failure.
func sentinel(err error) string {
	for name, e := range map[string]error{
		"rejected": messaging.ErrRejected, "blocked": messaging.ErrBlocked, "too large": messaging.ErrTooLarge,
		"unroutable": messaging.ErrUnroutable, "closed": messaging.ErrClosed,
	} {
		if errors.Is(err, e) {
			return name
		}
	}
	switch {
	case errors.Is(err, messaging.ErrUnconfirmed):
		return "unconfirmed"
	case errors.Is(err, context.DeadlineExceeded):
		return "not in time"
	}
	return err.Error()
}

// entry returns the entry of a message, nil where nobody sent it.
func (l *ledger) entry(id string) *entry {
	publisher, seq, ok := l.parse(id)
	if !ok || publisher >= len(l.books) || seq >= len(l.books[publisher]) {
		return nil
	}
	return &l.books[publisher][seq]
}

func (l *ledger) parse(id string) (publisher, seq int, ok bool) {
	rest, ok := strings.CutPrefix(id, l.name+"-")
	p, s, found := strings.Cut(rest, "-")
	publisher, err := strconv.Atoi(p)
	seq, err2 := strconv.Atoi(s)
	return publisher, seq, ok && found && err == nil && err2 == nil && publisher >= 0 && seq >= 0
}

// delivered enters a delivery to one of the consumers.
func (l *ledger) delivered(consumer int, d *messaging.Delivery) {
	_, seq, _ := l.parse(d.ID)
	l.receive(consumer, d.ID, d.Redelivered, string(d.Body) == l.bodyOf(d.ID, seq))
}

// receive is delivered for who checked the body.
func (l *ledger) receive(consumer int, id string, redelivered, sound bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wake()
	e := l.entry(id)
	if e == nil || e.refused || !sound {
		l.totals.Phantom++
		if len(l.strange) < 5 {
			l.strange = append(l.strange, id)
		}
		return
	}
	e.times++
	if e.times > 1 {
		l.totals.Duplicated++
		return
	}
	l.totals.Delivered++
	if e.confirmed {
		l.missing--
	}
	l.order(consumer, id, redelivered)
}

// order looks whether a message came after a later one. One that went back to
// its queue does so by right.
func (l *ledger) order(consumer int, id string, redelivered bool) {
	if redelivered {
		return
	}
	publisher, seq, _ := l.parse(id)
	key := [2]int{consumer, publisher}
	if last, seen := l.last[key]; seen && seq < last {
		l.totals.Disordered++
		return
	}
	l.last[key] = seq
}

// wake tells everybody who waits for an entry.
func (l *ledger) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// snapshot returns the totals so far, and what closes at the next entry.
func (l *ledger) snapshot() (Totals, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	t.Lost = l.missing
	return t, l.changed
}

// failures is how many messages failed, for that reason.
func (l *ledger) failures(reason string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed[reason]
}

// await waits until the totals are as ok wants them.
func (l *ledger) await(ctx context.Context, ok func(Totals) bool) error {
	for {
		t, changed := l.snapshot()
		if ok(t) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// settle waits until everything that was confirmed has been delivered, and
// then until nothing more comes. It gives up when nothing has come for
// patience: what is missing then is lost.
func (l *ledger) settle(ctx context.Context, patience, quiet time.Duration) error {
	for {
		t, changed := l.snapshot()
		limit := patience
		if t.Lost == 0 {
			limit = quiet
		}
		timer := time.NewTimer(limit)
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
			return nil
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
