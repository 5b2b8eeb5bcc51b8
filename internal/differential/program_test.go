package differential

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// program is what each broker does, one step after another. It prints as the
// Go that makes it.
type program []step

// step is one operation. do carries it out and returns what the caller sees.
type step interface{ do(r *run) string }

func (p program) String() string {
	var b strings.Builder
	b.WriteString("program{\n")
	for _, s := range p {
		fmt.Fprintf(&b, "\t%s,\n", literal(reflect.ValueOf(s)))
	}
	b.WriteString("}")
	return b.String()
}

// GoString is for rapid, which prints what it has drawn.
func (p program) GoString() string { return p.String() }

// literal is v as Go, without what is zero.
func literal(v reflect.Value) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return fmt.Sprintf("%d * time.Millisecond", v.Interface().(time.Duration).Milliseconds())
	case v.Kind() == reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = strings.TrimPrefix(literal(v.Index(i)), "message")
		}
		return typeName(v) + "{" + strings.Join(parts, ", ") + "}"
	case v.Kind() == reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				parts = append(parts, v.Type().Field(i).Name+": "+literal(v.Field(i)))
			}
		}
		return typeName(v) + "{" + strings.Join(parts, ", ") + "}"
	default:
		return strings.TrimPrefix(fmt.Sprintf("%#v", v.Interface()), "differential.")
	}
}

func typeName(v reflect.Value) string {
	return strings.ReplaceAll(v.Type().String(), "differential.", "")
}

// The names in programs. Those of the brokers have a prefix, which no other
// program has. Queue names that end in ".dead" get dead letters.
const (
	topicPrefix = "topic:"
	deadSuffix  = ".dead"
)

// names are all queues that a program may make.
var names = []string{
	"a", "b", "t.g", "t.h",
	"a.dead", "b.dead", "t.g.dead", "t.h.dead", "t.dead",
	"a.dead.dead", "b.dead.dead", "none.dead",
}

// topics are all topics that a program may make.
var topics = []string{"t"}

// message is one message of a publish step.
type message struct {
	// Script says what the handlers make of it, the first time in its queue,
	// the second time and so on: see verdict. An H before a verdict holds the
	// handler back until a release step. What is beyond the script is
	// acknowledged.
	Script string
	Kind   kind
	TTL    time.Duration
	Delay  time.Duration
	Late   bool // comes at the next elapse step
}

// returns says whether the message goes to the end of its queue again, sooner
// or later.
func (m message) returns() bool { return strings.ContainsAny(m.Script, "ewWzp") }

// kind is what else is in a message.
type kind string

const (
	plain kind = ""
	rich  kind = "rich"  // every field, and headers whose names mean something to RabbitMQ
	empty kind = "empty" // no body
	large kind = "large" // over the limit of a body
	wide  kind = "wide"  // over what AMQP can carry as headers
	bad   kind = "bad"   // refused before anything is sent
)

// sizeLimit is the limit of a body on both brokers.
const sizeLimit = 4096

// The steps. Slots are names for subscriptions, and for messages that were got.
type (
	declare struct {
		Queue        string
		Max          int
		DropOldest   bool
		TTL          time.Duration
		SingleActive bool
		Exclusive    bool
		AutoDelete   bool
	}
	publish struct {
		To   string
		Key  string
		Msgs []message
	}
	subscribe struct {
		Slot        int
		From        string
		Group       string
		Keys        []string
		Concurrency int
		Prefetch    int
		Attempts    int
		AutoAck     bool
		Dead        string
		Accept      bool // acknowledges everything, whatever the scripts say
	}
	// release lets the handlers go on that are held back in the queue of a
	// subscription.
	release struct{ Slot int }
	// cancel ends a subscription, and lets handlers go on once it is draining.
	cancel struct{ Slot int }
	get    struct {
		Slot     int
		From     string
		Attempts int
		AutoAck  bool
	}
	settle struct {
		Slot    int
		Verdict string
	}
	purge  struct{ Queue string }
	remove struct{ What string }
	bind   struct {
		Topic, Group string
		Keys         []string
	}
	redrive struct {
		From, To string
		Max      int
	}
	// elapse lets time pass until what is late has come. Other steps end before.
	elapse struct{}
	// survey looks at every queue that may be there.
	survey struct{}
)

// tokens cuts a script into what is done each time.
func tokens(script string) []string {
	var all []string
	for script != "" {
		n := 1
		if script[0] == 'H' && len(script) > 1 {
			n = 2
		}
		all = append(all, script[:n])
		script = script[n:]
	}
	return all
}

// How long a retry waits that asks for a time of its own: whole units of
// RabbitMQ's.
const (
	shortWait = 100 * time.Millisecond
	longWait  = 300 * time.Millisecond
)

// waitOf is how long a message waits after a verdict until it comes back.
func waitOf(letter string) time.Duration {
	switch letter {
	case "e", "p", "w":
		return shortWait
	case "W":
		return longWait
	}
	return 0
}

// verdict is what a handler returns for a letter of a script.
func verdict(letter string) error {
	err := fmt.Errorf("the script says %s", letter)
	switch letter {
	case "x":
		return messaging.Reject(err)
	case "e", "p":
		return err
	case "w":
		return messaging.RetryAfter(shortWait, err)
	case "W":
		return messaging.RetryAfter(longWait, err)
	case "z":
		return messaging.RetryAfter(0, err)
	case "q":
		return messaging.Requeue(err)
	}
	return nil
}
