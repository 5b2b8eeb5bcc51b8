package messaging

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Source says what to receive and how. Only Address is required; every other
// field's zero value is a good default.
type Source struct {
	// Address is the queue or topic to receive from. Its name must not begin
	// with "amq.", but for the exchanges that RabbitMQ itself declares, such as
	// amq.topic: to the memory broker, these are topics like others.
	Address Address
	// Group is, on a topic, the durable group of subscribers that shares one
	// copy of each message. Defaults to "": private to this call, and gone
	// when it ends.
	Group string
	// Keys are, on a topic, the patterns of routing keys to receive: words
	// separated by dots, "*" is exactly one word, "#" any number of them.
	// Defaults to none: everything.
	Keys []string
	// Concurrency is how many handlers run at once. Defaults to 1, which also
	// means in order.
	Concurrency int
	// OrderBy makes messages of equal key be handled one after another, in
	// order, whatever the Concurrency. A panic in it is an error like any
	// other: with its stack in the log, it counts as an attempt, and no
	// handler gets the message. Defaults to nil: no such order.
	OrderBy func(*Delivery) string
	// Prefetch is the most unsettled messages held at once: not less than
	// Concurrency, not more than [MaxPrefetch], and 1 for fair dispatch of
	// long jobs. Defaults to twice the Concurrency, but at least 32.
	Prefetch int
	// AutoAck settles each message before its handler runs: at most once. A
	// handler's error is then only logged: the first at once, those that
	// follow counted in at most one line a second. Defaults to false.
	AutoAck bool
	// Retry says how failures are tried again. Defaults to 5 attempts, 1 s to
	// 1 min apart, then the queue's name with ".dead" appended.
	Retry Retry
	// ShutdownTimeout is how long running handlers may go on after ctx has
	// ended. Defaults to 30 s.
	ShutdownTimeout time.Duration
	// Ready is called each time the subscription has become active at the
	// broker: at first, and after each reconnection. It must not block.
	// Defaults to nil.
	Ready func()
}

// Retry is an exponential back-off with jitter, and where messages go that
// keep failing.
type Retry struct {
	// MaxAttempts is how often a message is handled. 1 means never again,
	// negative for ever. Defaults to 5.
	MaxAttempts int
	// Min and Max are the first and the longest wait between attempts. The
	// wait doubles with each attempt; up to a quarter is added at random, so
	// that what failed together does not come back together, but no wait is
	// shorter than Min or longer than Max. Default to 1 s and 1 min.
	Min, Max time.Duration
	// DeadLetter is the queue for messages that keep failing; Subscribe
	// declares it when it starts. Defaults to the subscribed queue's name with
	// ".dead" appended; where that is too long (over [MaxShort] bytes) or
	// reserved (begins with "amq."), it must be set, unless with AutoAck, which
	// needs none.
	DeadLetter Address
}

// The defaults of [Source] and [Retry].
const (
	DefaultMaxAttempts     = 5
	DefaultRetryMin        = time.Second
	DefaultRetryMax        = time.Minute
	DefaultShutdownTimeout = 30 * time.Second
	minDefaultPrefetch     = 32
	deadSuffix             = ".dead"
)

// MaxPrefetch is the largest Prefetch, and with it the largest Concurrency:
// basic.qos of AMQP 0-9-1 has 16 bits for it.
const MaxPrefetch = 1<<16 - 1

// WithDefaults returns s with every zero value replaced by its default.
func (s Source) WithDefaults() Source {
	s.Concurrency = cmp.Or(s.Concurrency, 1)
	s.Prefetch = cmp.Or(s.Prefetch, min(max(2*s.Concurrency, minDefaultPrefetch), MaxPrefetch))
	s.ShutdownTimeout = cmp.Or(s.ShutdownTimeout, DefaultShutdownTimeout)
	s.Retry.MaxAttempts = cmp.Or(s.Retry.MaxAttempts, DefaultMaxAttempts)
	switch {
	case s.Retry.Min == 0 && s.Retry.Max == 0:
		s.Retry.Min, s.Retry.Max = DefaultRetryMin, DefaultRetryMax
	case s.Retry.Min == 0:
		s.Retry.Min = min(DefaultRetryMin, s.Retry.Max)
	case s.Retry.Max == 0:
		s.Retry.Max = max(DefaultRetryMax, s.Retry.Min)
	}
	if s.Retry.DeadLetter.IsZero() {
		s.Retry.DeadLetter = Queue(s.Queue().Name() + deadSuffix)
	}
	return s
}

// Queue is the queue that the messages of s wait in: that of group g on topic t
// is "t.g". A private subscription's queue has a name of the adapter's choice;
// Queue then returns one with the topic's name, after which its dead letters
// are named.
func (s Source) Queue() Address {
	if s.Address.IsTopic() && s.Group != "" {
		return Queue(s.Address.Name() + "." + s.Group)
	}
	return Queue(s.Address.Name())
}

// Validate says what is wrong with s. The error names the field.
func (s Source) Validate() error {
	if err := s.Address.Validate(); err != nil {
		return fmt.Errorf("Source.%w", err)
	}
	if err := checkReserved("Source.Address", s.Address); err != nil {
		return err
	}
	if err := s.validateTopic(); err != nil {
		return err
	}
	for _, f := range [...]struct {
		name  string
		value int64
	}{
		{"Concurrency", int64(s.Concurrency)},
		{"Prefetch", int64(s.Prefetch)},
		{"ShutdownTimeout", int64(s.ShutdownTimeout)},
	} {
		if f.value < 0 {
			return invalid("Source."+f.name, "is negative; leave it 0 for the default")
		}
	}
	if s.Prefetch > MaxPrefetch {
		return invalid("Source.Prefetch", "is %d; the limit is %d", s.Prefetch, MaxPrefetch)
	}
	if s.Concurrency > MaxPrefetch {
		return invalid("Source.Concurrency", "is %d; the limit is %d, as of Prefetch", s.Concurrency, MaxPrefetch)
	}
	if s.Prefetch > 0 && s.Prefetch < s.Concurrency {
		return invalid("Source.Prefetch", "is %d, less than Source.Concurrency, which is %d: "+
			"some handlers would never get a message", s.Prefetch, s.Concurrency)
	}
	return s.Retry.validate(s)
}

func (s Source) validateTopic() error {
	switch {
	case s.Address.IsTopic():
	case s.Group != "":
		return invalid("Source.Group", "is for topics; %s is a queue", s.Address)
	case len(s.Keys) > 0:
		return invalid("Source.Keys", "is for topics; %s is a queue", s.Address)
	}
	if s.Group != "" {
		if err := checkName("Source.Group", s.Group); err != nil {
			return err
		}
		if n := len(s.Queue().Name()); n > MaxShort {
			return invalid("Source.Group", "makes a queue name of %d bytes; the limit is %d", n, MaxShort)
		}
		if isReserved(s.Queue()) {
			return invalid("Source.Group", "makes the queue name %q; names that begin with amq. are reserved for the broker", s.Queue().Name())
		}
	}
	for _, pattern := range s.Keys {
		if err := checkPattern(pattern); err != nil {
			return invalid("Source.Keys", "has %q, which %s", pattern, err)
		}
	}
	return nil
}

// checkPattern refuses what AMQP takes and nobody means: an empty word, and a
// wildcard that is part of a word and therefore none.
func checkPattern(pattern string) error {
	if len(pattern) > MaxShort {
		return fmt.Errorf("has %d bytes; the limit is %d", len(pattern), MaxShort)
	}
	for word := range strings.SplitSeq(pattern, ".") {
		switch {
		case word == "":
			return errors.New("has an empty word; write words separated by single dots, for example order.*.eu or order.#")
		case word != "*" && word != "#" && strings.ContainsAny(word, "*#"):
			return fmt.Errorf("has a wildcard within the word %q; * and # stand for whole words", word)
		}
	}
	return nil
}

func (r Retry) validate(s Source) error {
	if err := checkSpan("Source.Retry.Min", r.Min, MaxDelay); err != nil {
		return err
	}
	if err := checkSpan("Source.Retry.Max", r.Max, MaxDelay); err != nil {
		return err
	}
	if r.Min > 0 && r.Max > 0 && r.Min > r.Max {
		return invalid("Source.Retry.Min", "is %s, more than Source.Retry.Max, which is %s", r.Min, r.Max)
	}
	return r.validateDeadLetter(s)
}

// validateDeadLetter looks at the default too, whose name may be one that
// cannot be, unless nothing is ever dead-lettered.
func (r Retry) validateDeadLetter(s Source) error {
	if r.DeadLetter.IsZero() {
		if s.AutoAck {
			return nil
		}
		return s.validateDefaultDeadLetter()
	}
	dead := r.DeadLetter
	switch {
	case !dead.IsQueue():
		return invalid("Source.Retry.DeadLetter", "is %s; it must be a queue", dead)
	case dead == s.Queue():
		return invalid("Source.Retry.DeadLetter", "is the source itself, %s", dead)
	}
	if err := checkName("Source.Retry.DeadLetter.Name", dead.Name()); err != nil {
		return err
	}
	return checkReserved("Source.Retry.DeadLetter", dead)
}

func (s Source) validateDefaultDeadLetter() error {
	dead := s.WithDefaults().Retry.DeadLetter
	const set = "set Source.Retry.DeadLetter to another queue"
	if n := len(dead.Name()); n > MaxShort {
		return invalid("Source.Address", "is %s, after which its dead letters are named: with %s appended, the name has %d bytes, and the limit is %d; %s",
			s.Address, deadSuffix, n, MaxShort, set)
	}
	if isReserved(dead) {
		return invalid("Source.Address", "is %s, after which its dead letters are named: %s begins with amq., which is reserved for the broker; %s",
			s.Address, dead, set)
	}
	return nil
}

// backoff is the wait after the failure of an attempt (1 is the first).
func (r Retry) backoff(attempt int) time.Duration {
	wait := r.Max
	if shift := max(attempt, 1) - 1; shift < 62 && r.Min<<shift>>shift == r.Min {
		wait = min(r.Min<<shift, r.Max)
	}
	longest := min(wait+wait/4, r.Max)
	shortest := max(r.Min, longest-longest/5)
	return shortest + rand.N(longest-shortest+1)
}

// CheckBind is what every adapter asks first in Bind: whether src is a topic's
// group. Who binds has no dead letters, so nothing is asked of their queue's name.
func CheckBind(src Source) error {
	if src.Retry.DeadLetter.IsZero() {
		src.AutoAck = true
	}
	if err := src.Validate(); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	switch {
	case !src.Address.IsTopic():
		return fmt.Errorf("bind: Source.Address is %s; only a topic has groups", src.Address)
	case src.Group == "":
		return fmt.Errorf("bind %s: Source.Group is empty; name the group whose queue is to be bound", src.Address)
	}
	return nil
}

// CheckSubscribe is what every adapter asks first in Subscribe: whether src and
// h can be used. It returns src with its defaults.
func CheckSubscribe(src Source, h Handler) (Source, error) {
	if err := src.Validate(); err != nil {
		return src, fmt.Errorf("subscribe: %w", err)
	}
	if h == nil {
		return src, errors.New("subscribe: Handler is nil; pass a function")
	}
	return src.WithDefaults(), nil
}
