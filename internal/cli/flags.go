package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v3"

	"github.com/warrenmq/warren/pkg/messaging"
)

// DefaultURL is a RabbitMQ on this machine with its own default user, which
// RabbitMQ lets in from this machine only.
const DefaultURL = "amqp://guest:guest@localhost:5672/"

// The categories of flags in the help.
const (
	CategoryBroker   = "Broker:"
	CategoryMessages = "Messages:"
	CategoryOutput   = "Output:"
)

// URLFlags are --url and --url-file; [URL] reads them. shownDefault is the
// default as the help shows it: without the password.
func URLFlags(value, shownDefault string) []urfave.Flag {
	return []urfave.Flag{
		&urfave.StringFlag{
			Name: "url", Category: CategoryBroker, Value: value, DefaultText: shownDefault,
			Sources: urfave.NewValueSourceChain(shown(envURL)),
			Usage:   "the broker's `URL`; in the environment or in a file, a password stays out of the shell's history",
		},
		&urfave.StringFlag{
			Name: "url-file", Category: CategoryBroker, DefaultText: "none",
			Sources:   urfave.NewValueSourceChain(shown(envURLFile)),
			Usage:     "`FILE` with the broker's URL, such as orchestrators mount",
			Validator: NotEmpty,
		},
	}
}

// QueueFlag is --queue. topic is the program's --topic, nil where it has none.
func QueueFlag(value, shownDefault string, topic urfave.Flag) urfave.Flag {
	return &urfave.StringFlag{
		Name: "queue", Aliases: []string{"q"}, Category: CategoryBroker, Value: value, DefaultText: shownDefault,
		Sources:   urfave.NewValueSourceChain(queueVariable{urfave.EnvVar(queueEnv), topic}),
		Usage:     "`NAME` of the queue",
		Validator: func(name string) error { return inFlag("the name", messaging.Queue(name).Validate()) },
	}
}

const queueEnv = "MESSAGING_QUEUE"

// queueVariable is the environment variable, which is not there where --topic
// was given: the command line wins.
type queueVariable struct {
	urfave.ValueSource
	topic urfave.Flag
}

func (v queueVariable) Lookup() (string, bool) {
	if v.topic != nil && v.topic.IsSet() {
		return "", false
	}
	return v.ValueSource.Lookup()
}

// IsFromEnv implements [urfave.EnvValueSource], for the help.
func (queueVariable) IsFromEnv() bool { return true }

// Key implements [urfave.EnvValueSource].
func (queueVariable) Key() string { return queueEnv }

// inFlag says of an error about a name what the user calls it.
func inFlag(flag string, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.NewReplacer("QueueSpec.Name", flag, "Address.Name", flag).Replace(err.Error()))
}

// TopicFlag is --topic.
func TopicFlag() urfave.Flag {
	return &urfave.StringFlag{
		Name: "topic", Aliases: []string{"t"}, Category: CategoryBroker,
		Usage:     "`NAME` of a topic, instead of a queue",
		Validator: func(name string) error { return inFlag("the name", messaging.Topic(name).Validate()) },
	}
}

// DeclareFlag is --declare; [Declare] reads its value.
func DeclareFlag() urfave.Flag {
	return &urfave.StringFlag{
		Name: "declare", Category: CategoryBroker, DefaultText: string(DeclareMissing),
		Usage: "`HOW` the queue comes to be: missing (used as it is, created durable where there is none), " +
			"tutorial (as the Python tutorial declares it: transient, classic) or never (it must exist)",
		Validator: func(value string) error { return Declare(value).validate() },
	}
}

// QuietFlag is --quiet.
func QuietFlag() urfave.Flag {
	return &urfave.BoolFlag{
		Name: "quiet", Category: CategoryOutput,
		Usage: "no line for each message, only the summary",
	}
}

// AtLeast is a flag's Validator: what is given must not be less.
func AtLeast[T cmp.Ordered](least T) func(T) error {
	return func(v T) error {
		if v < least {
			return fmt.Errorf("must be at least %v", least)
		}
		return nil
	}
}

// NotEmpty is a flag's Validator: an empty value is more likely a variable of
// the shell that is not set than what was meant.
func NotEmpty(value string) error {
	if value == "" {
		return errors.New("must not be empty; leave the flag out")
	}
	return nil
}

// Positive is a flag's Validator for durations.
func Positive(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("must be more than 0, for example 10s")
	}
	return nil
}
