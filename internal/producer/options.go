package producer

import (
	"io"
	"math"
	"strings"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/pkg/messaging"
)

// The defaults of [Options].
const (
	DefaultQueue   = "hello"
	DefaultText    = "Hello World!"
	DefaultTimeout = messaging.DefaultPublishTimeout
)

// fromStdin is the argument that stands for the lines of standard input.
const fromStdin = "-"

// Options say what is sent, where to and how. The zero value sends what the
// tutorial's producer sends. The errors about them name the flags.
type Options struct {
	// Queue is the queue's name. Defaults to "hello", unless there is a Topic.
	Queue string
	// Topic is the name of a topic to send to instead. Defaults to none.
	Topic string
	// Key is the routing key of every message, for a topic. Defaults to none.
	Key string
	// Declare is what is done about the queue first. Defaults to creating it
	// where there is none.
	Declare cli.Declare
	// Args are the texts: each is a message of its own. A single "-" stands for
	// the lines of standard input. Default to "Hello World!".
	Args []string
	// Count is how often the texts are sent. Defaults to 1.
	Count int
	// Rate is the most messages sent in a second. Defaults to 0: no limit.
	Rate float64
	// Headers and ContentType are those of every message. Default to none.
	Headers     map[string]string
	ContentType string
	// Delay is how long each message is held back. Defaults to not at all.
	Delay time.Duration
	// TTL is how long each message is worth delivering. Defaults to for ever.
	TTL time.Duration
	// Timeout is how long the broker may take to confirm what was sent.
	// Defaults to 30 s.
	Timeout time.Duration
	// Quiet leaves out the lines and the bar. Defaults to false.
	Quiet bool
	// Bar is the terminal on which a progress bar is drawn while many messages
	// are sent. Defaults to nil: none.
	Bar io.Writer
}

// Validate says what is wrong with o, before anything is sent.
func (o Options) Validate() error {
	o = o.withDefaults()
	if err := cli.CheckTarget(o.Queue, o.Topic, o.Declare); err != nil {
		return err
	}
	if err := o.validateArgs(); err != nil {
		return err
	}
	if err := o.validateMessage(); err != nil {
		return err
	}
	switch {
	case o.Count < 0:
		return cli.Usagef("--count is %d; it must be at least 1", o.Count)
	case o.total() < 0:
		return cli.Usagef("--count is %d, too large for %d texts", o.Count, len(o.Args))
	case o.Rate < 0 || math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0):
		return cli.Usagef("--rate is %v; it must be a number of messages a second, or 0 for no limit", o.Rate)
	case o.Timeout < 0:
		return cli.Usagef("--timeout is %s; it must be more than 0", o.Timeout)
	}
	return nil
}

// validateMessage is about what all messages have in common.
func (o Options) validateMessage() error {
	switch {
	case o.Key != "" && o.Topic == "":
		return cli.Usagef("--key needs --topic: a message to a queue has no routing key")
	case len(o.Key) > messaging.MaxShort:
		return cli.Usagef("--key has %d bytes; the limit is %d", len(o.Key), messaging.MaxShort)
	case len(o.ContentType) > messaging.MaxShort:
		return cli.Usagef("--content-type has %d bytes; the limit is %d", len(o.ContentType), messaging.MaxShort)
	case o.Delay < 0 || o.Delay > messaging.MaxDelay:
		return cli.Usagef("--delay is %s; it must be between 0 and %s", o.Delay, messaging.MaxDelay)
	case o.TTL < 0 || o.TTL > messaging.MaxTTL:
		return cli.Usagef("--ttl is %s; it must be between 0 and %s", o.TTL, messaging.MaxTTL)
	}
	if o.Delay > 0 && o.TTL > 0 && o.Delay >= o.TTL {
		return cli.Usagef("--delay %s and --ttl %s contradict each other: "+
			"no message would be delivered, since its time is over before its delay", o.Delay, o.TTL)
	}
	for key := range o.Headers {
		if err := validateKey(key); err != nil {
			return err
		}
	}
	return nil
}

func (o Options) validateArgs() error {
	for _, arg := range o.Args {
		if arg == fromStdin && len(o.Args) > 1 {
			return cli.Usagef("- (lines from standard input) and texts as arguments contradict each other; give one of them")
		}
	}
	if o.stdin() && o.Count > 0 {
		return cli.Usagef("--count and - (lines from standard input) contradict each other: each line is sent once")
	}
	return nil
}

// validateKey is about a key of a header.
func validateKey(key string) error {
	switch {
	case key == "":
		return cli.Usagef("--header has an empty key; write --header KEY=VALUE")
	case len(key) > messaging.MaxShort:
		return cli.Usagef("--header has a key of %d bytes; the limit is %d", len(key), messaging.MaxShort)
	}
	return nil
}

// ParseHeaders reads the values of --header, each KEY=VALUE. The value may be
// empty and may contain further equals signs.
func ParseHeaders(values []string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	headers := make(map[string]string, len(values))
	for _, v := range values {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, cli.Usagef("--header %q has no equals sign; write --header KEY=VALUE", v)
		}
		if err := validateKey(key); err != nil {
			return nil, err
		}
		if _, twice := headers[key]; twice {
			return nil, cli.Usagef("--header gives the key %q twice; a key has one value", key)
		}
		headers[key] = value
	}
	return headers, nil
}

func (o Options) withDefaults() Options {
	if o.Queue == "" && o.Topic == "" {
		o.Queue = DefaultQueue
	}
	if len(o.Args) == 0 {
		o.Args = []string{DefaultText}
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return o
}

// to is where the messages go.
func (o Options) to() messaging.Address {
	if o.Topic != "" {
		return messaging.Topic(o.Topic)
	}
	return messaging.Queue(o.Queue)
}

func (o Options) stdin() bool { return len(o.Args) == 1 && o.Args[0] == fromStdin }

// unknown is the total of messages that come from standard input.
const unknown = 0

// total is how many messages there are to send: unknown for standard input,
// negative where that is more than an int holds.
func (o Options) total() int {
	if o.stdin() {
		return unknown
	}
	times := max(o.Count, 1)
	if times > math.MaxInt/len(o.Args) {
		return -1
	}
	return times * len(o.Args)
}

// few is the most messages of which each gets a line of its own, where it is
// known beforehand how many there are.
const few = 20

// lines says whether each message gets its own line: a few messages do, and
// lines of standard input, of which nobody knows how many will come.
func (o Options) lines() bool { return !o.Quiet && o.total() <= few }

// batchSize is how many messages go to the broker at once: enough to keep the
// connection busy, or what is due within a twentieth of a second.
func (o Options) batchSize() int {
	const most, perSecond = 256, 20
	if o.Rate == 0 {
		return most
	}
	return int(min(max(o.Rate/perSecond, 1), most))
}
