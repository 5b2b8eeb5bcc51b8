// Package measure runs contenders at the same work in alternating rounds, so
// that what else the machine does meets all of them alike, and keeps what it
// saw.
package measure

import (
	"context"
	"time"
)

// Row is one kind of work, and who does it.
type Row struct {
	// Name is the row's in ratio lines, for example "rabbitmq-publish-64".
	Name string
	// Title says the same in words.
	Title string
	// Contenders are compared with the first of them.
	Contenders []Contender
	// Alike has all contenders move as many messages in a round as fill it at
	// the rate of the first of them: where a message costs more in a longer
	// queue, a fast contender would have the harder work otherwise.
	Alike bool
	// Finer is how many rounds a round is cut into, for a difference that is
	// smaller than what the machine's own mood makes. Defaults to 1.
	Finer int
}

// rounds is in how many the row is measured, where others are in n.
func (row Row) rounds(n int) int { return n * max(row.Finer, 1) }

// Contender is one way to do a row's work.
type Contender struct {
	Name string
	// Less says what it does less than the first contender does, for example
	// "no persistence". Empty where it does the same.
	Less string
	// Want is the least ratio of the first contender's rate to this one's; 0
	// is no target.
	Want float64
	// Round is how long a round of it should take at least. Defaults to the
	// run's.
	Round time.Duration
	// First is how many messages it moves in the round that does not count.
	// Defaults to 1,000.
	First int
	// Own is for one that is too slow to move as many messages as others: it
	// moves what fills a round of its own, though its row is Alike.
	Own bool
	// Unit is what the number of messages of a round is a multiple of.
	// Defaults to 1.
	Unit int
	// Most is the largest number of messages in a round. Defaults to no limit.
	Most int
	// Bound marks what does so much less that it is no comparison, only a
	// bound. It is in no chart.
	Bound bool
	// Apart marks what needs no broker, and what Run.Apart can do as well.
	Apart bool
	// Calls are how long its calls took, where that is recorded.
	Calls *Calls
	// Work moves n messages and returns what that cost, without what it had to
	// prepare. Its error says that one was lost.
	Work Work
}

// Work moves n messages, and says what that cost.
type Work func(ctx context.Context, n int) (Cost, error)
