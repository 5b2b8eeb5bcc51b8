package rabbitmq

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parameter is one thing that the query of the URL may say.
type parameter struct {
	form string // what a value looks like
	set  func(c *config, value string) error
}

// parameters are all of them, by name.
var parameters = map[string]parameter{
	"heartbeat": durationParameter(time.Second, 10*time.Minute,
		func(c *config) *time.Duration { return &c.heartbeat }),
	"connect_timeout": durationParameter(time.Millisecond, time.Hour,
		func(c *config) *time.Duration { return &c.connectTimeout }),
	"publish_timeout": durationParameter(time.Millisecond, 24*time.Hour,
		func(c *config) *time.Duration { return &c.publishTimeout }),
	"reject_timeout": durationParameter(time.Millisecond, time.Hour,
		func(c *config) *time.Duration { return &c.rejectTimeout }),
	"max_message_size": {"a number of bytes, which may end in KiB or MiB, from 1 to 512MiB, for example 16MiB",
		func(c *config, v string) (err error) { c.maxMessageSize, err = parseSize(v); return err }},
	"queue_type": {queueTypeQuorum + " or " + queueTypeClassic,
		func(c *config, v string) error {
			c.queueType = v
			return unless(v == queueTypeQuorum || v == queueTypeClassic)
		}},
	"connection_name": {"a name of 1 to 200 bytes",
		func(c *config, v string) error { c.name = v; return unless(len(v) > 0 && len(v) <= 200) }},
	"cacertfile": fileParameter(func(c *config) *string { return &c.files.ca }),
	"certfile":   fileParameter(func(c *config) *string { return &c.files.cert }),
	"keyfile":    fileParameter(func(c *config) *string { return &c.files.key }),
}

// errForm says that a value does not have the parameter's form.
var errForm = errors.New("wrong form")

func unless(ok bool) error {
	if ok {
		return nil
	}
	return errForm
}

// durationParameter takes 10s, 500ms, and plain seconds, as RabbitMQ's other
// clients write them.
func durationParameter(least, most time.Duration, field func(*config) *time.Duration) parameter {
	return parameter{
		form: fmt.Sprintf("a duration from %s to %s, for example 10s", least, most),
		set: func(c *config, v string) error {
			if _, err := strconv.ParseUint(v, 10, 32); err == nil {
				v += "s"
			}
			d, err := time.ParseDuration(v)
			*field(c) = d
			return errors.Join(err, unless(d >= least && d <= most))
		},
	}
}

func fileParameter(field func(*config) *string) parameter {
	return parameter{
		form: "the path of a PEM file",
		set:  func(c *config, v string) error { *field(c) = v; return unless(v != "") },
	}
}

// parseSize reads 1048576, 1024KiB and 1MiB.
func parseSize(v string) (int, error) {
	unit := 1
	for suffix, size := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if number, ok := strings.CutSuffix(v, suffix); ok {
			v, unit = number, size
		}
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0, err
	}
	size := int(n) * unit
	return size, unless(size > 0 && size <= 512<<20)
}

// setParameters reads the URL's query.
func (c *config) setParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the parameters after ? are not percent-encoded: write % as %25, & as %26 and ; as %3B")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p, known := parameters[name]
		switch {
		case !known:
			return fmt.Errorf("unknown parameter %q; known are %s", name, strings.Join(slices.Sorted(maps.Keys(parameters)), ", "))
		case len(values[name]) > 1:
			return fmt.Errorf("parameter %s is given %d times; give it once", name, len(values[name]))
		case p.set(c, values[name][0]) != nil:
			return fmt.Errorf("parameter %s is %q; it must be %s", name, values[name][0], p.form)
		}
	}
	return nil
}
