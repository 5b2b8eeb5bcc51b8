package differential

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/warrenmq/warren/pkg/messaging"
)

// observation is everything that shows after a step.
type observation struct {
	Result string           // what the operation returned
	Count  int              // what it counted
	Seen   []delivery       // in the order in which handlers were called
	Depths map[string]depth // of the queues that exist
}

// depth is what Inspect counts. Unsettled is not in it: RabbitMQ does not tell.
type depth struct{ Ready, Consumers int }

// delivery is a message as its receiver saw it.
type delivery struct {
	To          string // the subscription
	Queue       string // where the message waited
	ID          string
	Nth         int // how often it was handled before, from this queue
	Attempt     int
	Redelivered bool
	Rest        string // everything else
}

func (d delivery) String() string {
	s := fmt.Sprintf("%s: %q from %s, time %d, attempt %d", d.To, d.ID, d.Queue, d.Nth+1, d.Attempt)
	if d.Redelivered {
		s += ", redelivered"
	}
	if d.Rest != "" {
		s += "; " + d.Rest
	}
	return s
}

func (o observation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tresult: %s, %d\n", o.Result, o.Count)
	for _, d := range o.Seen {
		fmt.Fprintf(&b, "\t%s\n", d)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Depths)) {
		fmt.Fprintf(&b, "\t%s: %d ready, %d consumers\n", name, o.Depths[name].Ready, o.Depths[name].Consumers)
	}
	return b.String()
}

// rest renders what a delivery has besides what [delivery] has fields for.
// Times are left out, but for the one that rich messages have.
func (r *run) rest(d *messaging.Delivery) string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+strings.ReplaceAll(value, r.prefix, ""))
		}
	}
	add("from", d.From.String())
	add("type", d.Type)
	add("content", d.ContentType)
	add("correlation", d.CorrelationID)
	add("reply", d.ReplyTo)
	add("key", d.Key)
	for name, span := range map[string]fmt.Stringer{"ttl": d.TTL, "delay": d.Delay} {
		if span.String() != "0s" {
			add(name, span.String())
		}
	}
	if d.Time.Equal(richTime) {
		add("time", d.Time.String())
	}
	if body := string(d.Body); body != d.ID {
		add("body", fmt.Sprintf("%q", body))
	}
	for key, value := range d.Headers {
		if key != messaging.HeaderDeadTime {
			add(fmt.Sprintf("%q", key), fmt.Sprintf("%q", value))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// sentinels are all errors that callers may ask for.
var sentinels = map[string]error{
	"ErrClosed": messaging.ErrClosed, "ErrUnroutable": messaging.ErrUnroutable, "ErrRejected": messaging.ErrRejected,
	"ErrUnconfirmed": messaging.ErrUnconfirmed, "ErrBlocked": messaging.ErrBlocked, "ErrTooLarge": messaging.ErrTooLarge,
	"ErrEmpty": messaging.ErrEmpty, "ErrSettled": messaging.ErrSettled, "ErrNotFound": messaging.ErrNotFound,
	"ErrMismatch": messaging.ErrMismatch, "ErrUnsupported": errors.ErrUnsupported,
}

// outcome names an error by its sentinels; of a PublishError, by the message.
func outcome(err error) string {
	var failed *messaging.PublishError
	if errors.As(err, &failed) {
		var parts []string
		for _, f := range failed.Failed {
			parts = append(parts, fmt.Sprintf("%d %s: %s", f.Index, f.ID, outcome(f.Err)))
		}
		return strings.Join(parts, "; ")
	}
	if err == nil {
		return "nil"
	}
	var found []string
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			found = append(found, name)
		}
	}
	if found == nil {
		return "an error"
	}
	slices.Sort(found)
	return strings.Join(found, "+")
}
