package consumer

import (
	"strings"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/pkg/messaging"
)

// DefaultQueue is the tutorial's queue.
const DefaultQueue = "hello"

// Mode is one of the tutorial's three ways to consume.
type Mode string

// The values of [Mode].
const (
	// Consume has a handler called for each message, until ctx ends. It is the
	// default. (basic_consume in the tutorial.)
	Consume Mode = "consume"
	// Get asks for one message and returns. (basic_get)
	Get Mode = "get"
	// Iterate loops over the messages, until none came for a while. (consume,
	// the generator)
	Iterate Mode = "iterate"
)

// Options say what is consumed and how. The zero value does what the
// tutorial's consumer does, with acknowledgements. The errors about them name
// the flags.
type Options struct {
	// Queue is the queue's name. Defaults to "hello", unless there is a Topic.
	Queue string
	// Topic is the name of a topic to receive from instead. Defaults to none.
	Topic string
	// Group is, on a topic, the group that shares one copy of each message.
	// Defaults to none: a private subscription, gone when Run ends.
	Group string
	// Keys are, on a topic, the patterns of routing keys to receive. Default to
	// everything.
	Keys []string
	// Declare is what is done about the queue first. Defaults to creating it
	// where there is none.
	Declare cli.Declare
	// Mode is the way to consume. Defaults to Consume.
	Mode Mode
	// Workers is how many messages are handled at once. Defaults to 1.
	Workers int
	// Prefetch is how many messages each worker holds. Defaults to 1: fair
	// dispatch, nobody waits behind a busy worker.
	Prefetch int
	// AutoAck settles each message before it is handled. Defaults to false.
	AutoAck bool
	// InactivityTimeout ends Run when no message came for so long. Defaults to
	// 0: never.
	InactivityTimeout time.Duration
	// Work is how long the work for every dot in a text takes. Defaults to 0.
	Work time.Duration
	// FailOn makes each message fail that contains it. Defaults to none.
	FailOn string
	// Retry says how failures are tried again. Its defaults are those of
	// messaging.Retry.
	Retry messaging.Retry
	// ShutdownTimeout is how long running work may go on after ctx has ended.
	// Defaults to 30 s.
	ShutdownTimeout time.Duration
	// Quiet leaves out the lines about each message. Defaults to false.
	Quiet bool
	// Around returns what goes around the handler of a source. Defaults to
	// nothing.
	Around func(messaging.Source) messaging.Middleware
	// Handled is called after each message with the handler's verdict. Defaults
	// to nil.
	Handled func(d *messaging.Delivery, verdict error)
}

// Validate says what is wrong with o, before anything is received.
func (o Options) Validate() error {
	if err := cli.CheckTarget(o.withDefaults().Queue, o.Topic, o.Declare); err != nil {
		return err
	}
	if err := o.validateTopic(); err != nil {
		return err
	}
	if err := o.validateNumbers(); err != nil {
		return err
	}
	if err := o.validateMode(); err != nil {
		return err
	}
	if o.AutoAck && o.Retry != (messaging.Retry{}) {
		return cli.Usagef("--auto-ack and the retry flags (--max-attempts, --retry-min, --retry-max, --dead-letter) contradict " +
			"each other: a message that is acknowledged before it is handled is never tried again")
	}
	return o.validateRetry()
}

func (o Options) validateTopic() error {
	switch {
	case o.Topic != "":
	case o.Group != "":
		return cli.Usagef("--group needs --topic: the consumers of a queue share its messages anyway")
	case len(o.Keys) > 0:
		return cli.Usagef("--key needs --topic: a queue's messages have no routing key")
	}
	if o.Topic != "" && o.Group == "" && o.Mode == Get {
		return cli.Usagef("--mode get and --topic without --group contradict each other: " +
			"a private subscription gets what is sent while it lasts, and get does not wait")
	}
	src := messaging.Source{Address: o.withDefaults().address(), Group: o.Group, Keys: o.Keys}
	return named(src.Validate())
}

// named makes a usage error of one about a Source: it is about the flag.
func named(err error) error {
	if err == nil {
		return nil
	}
	flags := strings.NewReplacer("Source.Keys", "--key", "Source.Group", "--group",
		"Source.Retry.DeadLetter.Name", "--dead-letter", "Source.Retry.DeadLetter", "--dead-letter", "Address.Name", "--dead-letter")
	return cli.Usagef("%s", flags.Replace(err.Error()))
}

func (o Options) validateNumbers() error {
	for _, f := range [...]struct {
		name     string
		value    int64
		readable any
	}{
		{"--workers", int64(o.Workers), o.Workers},
		{"--prefetch", int64(o.Prefetch), o.Prefetch},
		{"--max-attempts", int64(o.Retry.MaxAttempts), o.Retry.MaxAttempts},
		{"--inactivity-timeout", int64(o.InactivityTimeout), o.InactivityTimeout},
		{"--work", int64(o.Work), o.Work},
		{"--retry-min", int64(o.Retry.Min), o.Retry.Min},
		{"--retry-max", int64(o.Retry.Max), o.Retry.Max},
		{"--shutdown-timeout", int64(o.ShutdownTimeout), o.ShutdownTimeout},
	} {
		if f.value < 0 {
			return cli.Usagef("%s is %v; it must not be negative", f.name, f.readable)
		}
	}
	o = o.withDefaults()
	if o.Workers > maxHeld/o.Prefetch {
		return cli.Usagef("--workers %d times --prefetch %d is more than %d, the most messages held at once",
			o.Workers, o.Prefetch, maxHeld)
	}
	return nil
}

// maxHeld is the largest prefetch that AMQP 0-9-1 knows.
const maxHeld = 1<<16 - 1

func (o Options) validateMode() error {
	mode := o.withDefaults().Mode
	switch {
	case mode != Consume && mode != Get && mode != Iterate:
		return cli.Usagef("--mode is %q; it must be %s, %s or %s", string(mode), Consume, Get, Iterate)
	case mode == Consume:
		return nil
	case o.Workers > 1:
		return cli.Usagef("--mode %s and --workers %d contradict each other: it takes one message after another", mode, o.Workers)
	case mode == Iterate:
		return nil
	case o.Prefetch > 0:
		return cli.Usagef("--mode get and --prefetch contradict each other: it takes one message")
	case o.InactivityTimeout > 0:
		return cli.Usagef("--mode get and --inactivity-timeout contradict each other: it does not wait for a message")
	}
	return nil
}

func (o Options) validateRetry() error {
	if longest := max(o.Retry.Min, o.Retry.Max); longest > messaging.MaxDelay {
		return cli.Usagef("--retry-min and --retry-max go up to %s; one is %s", messaging.MaxDelay, longest)
	}
	if o.Retry.Min > 0 && o.Retry.Max > 0 && o.Retry.Min > o.Retry.Max {
		return cli.Usagef("--retry-min is %s, more than --retry-max, which is %s", o.Retry.Min, o.Retry.Max)
	}
	if !o.Retry.DeadLetter.IsZero() {
		if err := o.Retry.DeadLetter.Validate(); err != nil {
			return named(err)
		}
	}
	source := o.withDefaults().source()
	if source.Address.IsQueue() && o.Retry.DeadLetter == source.Address {
		return cli.Usagef("--dead-letter and --queue are both %q; dead letters need a queue of their own", source.Address.Name())
	}
	return named(source.Validate()) // what is left: names over a limit, and the queue of a group
}

func (o Options) withDefaults() Options {
	if o.Queue == "" && o.Topic == "" {
		o.Queue = DefaultQueue
	}
	if o.Mode == "" {
		o.Mode = Consume
	}
	if o.ShutdownTimeout == 0 {
		o.ShutdownTimeout = messaging.DefaultShutdownTimeout
	}
	o.Workers, o.Prefetch = max(o.Workers, 1), max(o.Prefetch, 1)
	return o
}

// address is where the messages come from.
func (o Options) address() messaging.Address {
	if o.Topic != "" {
		return messaging.Topic(o.Topic)
	}
	return messaging.Queue(o.Queue)
}

// source is what the options mean to the messaging package.
func (o Options) source() messaging.Source {
	return messaging.Source{
		Address:         o.address(),
		Group:           o.Group,
		Keys:            o.Keys,
		Concurrency:     o.Workers,
		Prefetch:        o.Workers * o.Prefetch,
		AutoAck:         o.AutoAck,
		Retry:           o.Retry,
		ShutdownTimeout: o.ShutdownTimeout,
	}
}
