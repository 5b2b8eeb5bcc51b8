package memory

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/warrenmq/warren/pkg/messaging"
)

// WithRecording makes the broker keep a copy of every message that is published,
// for [Broker.Published]. It is for tests: the copies stay until the Broker is
// garbage.
func WithRecording() Option {
	return func(s *settings) { s.recording = newRecording() }
}

// recording is what was published where.
type recording struct {
	mu        sync.Mutex // comes after a queue's
	published map[messaging.Address][]messaging.Message
}

func newRecording() *recording {
	return &recording{published: map[messaging.Address][]messaging.Message{}}
}

// note adds m. A recording that is off is nil.
func (r *recording) note(to messaging.Address, m *messaging.Message) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published[to] = append(r.published[to], m.Clone())
}

// Published returns what was published to a queue or topic so far, in the order
// in which it was stored, whatever became of it since: each message for which
// Publish returned nil, or ErrUnconfirmed though it was stored. To a topic, it
// counts too where nobody was bound. It panics where the broker was not made
// [WithRecording].
func (b *Broker) Published(to messaging.Address) []messaging.Message {
	if b.recording == nil {
		panic("memory: Published needs a broker that was made WithRecording")
	}
	b.recording.mu.Lock()
	defer b.recording.mu.Unlock()
	return cloneAll(b.recording.published[to])
}

func cloneAll(msgs []messaging.Message) []messaging.Message {
	all := make([]messaging.Message, len(msgs))
	for i := range msgs {
		all[i] = msgs[i].Clone()
	}
	return all
}

// DeadLetters returns the messages that failed in a queue and are still in the
// dead-letter queue that they were moved to, whichever that is, oldest first.
// Their headers say why, see [messaging.DeadLetterHeaders]. For a topic's group,
// ask for its queue, [messaging.Source.Queue].
func (b *Broker) DeadLetters(of messaging.Address) []messaging.Delivery {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []messaging.Delivery
	for _, name := range slices.Sorted(maps.Keys(b.queues)) {
		all = append(all, b.queues[name].deadLetters(of)...)
	}
	return all
}

// deadLetters are those in q of another queue. It takes q.mu itself.
func (q *queue) deadLetters(of messaging.Address) []messaging.Delivery {
	q.mu.Lock()
	defer q.unlock()
	q.learnAll()
	var dead []*entry
	for _, e := range q.all() {
		if e.dead && e.msg.Headers[messaging.HeaderDeadFrom] == of.String() {
			dead = append(dead, e)
		}
	}
	letters := make([]messaging.Delivery, len(dead))
	for i, e := range dead {
		letters[i] = messaging.Delivery{
			Message: e.msg.Clone(), From: q.address, Attempt: int(e.attempt), Redelivered: e.redelivered,
		}
	}
	return letters
}

// all returns everything in q, by its place. It needs q.mu.
func (q *queue) all() []*entry {
	entries := slices.Collect(q.readyEntries())
	entries = append(entries, q.held...)
	entries = append(entries, q.waiting.items...)
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
	return entries
}
