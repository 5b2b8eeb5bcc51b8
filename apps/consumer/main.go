// Command consumer is the worker of the RabbitMQ tutorials, on any broker that
// warren has an adapter for: it receives messages from a queue or a topic.
package main

import (
	"context"
	"os"
	"time"

	urfave "github.com/urfave/cli/v3"

	_ "github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/consumer"
	"github.com/warrenmq/warren/internal/ops"
	"github.com/warrenmq/warren/pkg/messaging"
)

// connectTimeout is how long the broker may take to connect at the start.
const connectTimeout = 30 * time.Second

const description = `Prints " [*] Waiting for messages. To exit press CTRL+C", then " [x] Received 'TEXT'" for each
message, which is acknowledged when the work on it is done. Consumers of one queue share its
messages, and so do the workers of one consumer.

From a topic, each group gets a copy of each message, and the consumers of a group share it. A
group keeps messages while nobody consumes. A consumer without --group gets what is sent to the
topic while it is there. In a --key, * stands for exactly one word and # for any number of them.

The first CTRL+C stops receiving, lets running work finish, returns what was not started to the
queue, and ends with a summary. A second one quits at once.

In staging, --http serves health, readiness and metrics, the OTEL_* variables say where traces
and metrics are exported to, --log-format json makes the log structured, and --url-file keeps the
password out of sight. docs/operations.md has the rest.

The exit status is 0, 1 when the broker failed or work was cut off, 2 when the command line is
wrong, and 130 after a second CTRL+C.

Examples:
  consumer                               one message after another from the queue hello
  consumer --workers 4 --work 1s         the tutorial's worker, a second for every dot
  consumer --mode get                    take one message, if there is one
  consumer --mode iterate --inactivity-timeout 10s
  consumer --fail-on bad --max-attempts 3 --dead-letter failed
  consumer --topic orders --group billing --key 'order.*.placed' --key 'refund.#'
  consumer --topic orders                whatever is sent to the topic from now on
  consumer --http 8080 --log-format json --log-level info --quiet
  consumer --declare tutorial            from the queue that the Python tutorial declares`

func main() {
	cli.Main(&urfave.Command{
		Name:        "consumer",
		Usage:       "receive messages from a queue or a topic",
		UsageText:   "consumer [options]",
		Description: description,
		Flags:       append(flags(), retryFlags()...),
		Action:      run,
	})
}

func flags() []urfave.Flag {
	topic := cli.TopicFlag()
	all := append(cli.URLFlags(cli.DefaultURL, "amqp://localhost:5672/, as its user guest"),
		cli.QueueFlag("", consumer.DefaultQueue, topic),
		cli.DeclareFlag(),
		topic,
		&urfave.StringFlag{
			Name: "group", Aliases: []string{"g"}, Category: cli.CategoryBroker, DefaultText: "none, private to this consumer",
			Usage:     "`NAME` of the topic's group to consume for, created where there is none",
			Validator: cli.NotEmpty,
		},
		&urfave.StringSliceFlag{
			Name: "key", Aliases: []string{"k"}, Category: cli.CategoryBroker, DefaultText: "everything",
			Usage: "`PATTERN` of the topic's routing keys to receive; may be given several times",
		},
		&urfave.StringFlag{
			Name: "mode", Category: cli.CategoryMessages, Value: string(consumer.Consume),
			Usage: "`WAY` to receive: consume (a handler is called), get (one message, then exit) or iterate (a loop)",
		},
		&urfave.IntFlag{
			Name: "workers", Category: cli.CategoryMessages, DefaultText: "1", Validator: cli.AtLeast(1),
			Usage: "handle `N` messages at once",
		},
		&urfave.IntFlag{
			Name: "prefetch", Category: cli.CategoryMessages, DefaultText: "1, fair dispatch", Validator: cli.AtLeast(1),
			Usage: "each worker holds at most `N` messages",
		},
		&urfave.BoolFlag{
			Name: "auto-ack", Category: cli.CategoryMessages,
			Usage: "acknowledge each message before it is handled: at most once",
		},
		&urfave.DurationFlag{
			Name: "inactivity-timeout", Category: cli.CategoryMessages, DefaultText: "never", Validator: cli.Positive,
			Usage: "end when no message came for so long",
		},
		&urfave.DurationFlag{
			Name: "work", Category: cli.CategoryMessages, DefaultText: "none", Validator: cli.AtLeast(time.Duration(0)),
			Usage: "work so long for every dot in the text",
		},
		&urfave.DurationFlag{
			Name: "shutdown-timeout", Category: cli.CategoryMessages, Value: messaging.DefaultShutdownTimeout, Validator: cli.Positive,
			Usage: "how long running work may go on after CTRL+C",
		},
		cli.QuietFlag(),
		ops.Flag(),
		cli.HealthcheckFlag(),
	)
	return append(all, cli.LogFlags()...)
}

func retryFlags() []urfave.Flag {
	const category = "Failures:"
	return []urfave.Flag{
		&urfave.StringFlag{
			Name: "fail-on", Category: category,
			Usage: "fail each message that contains `TEXT`, to see what becomes of it",
		},
		&urfave.IntFlag{
			Name: "max-attempts", Category: category, DefaultText: "5", Validator: cli.AtLeast(1),
			Usage: "handle a message at most `N` times, then dead-letter it",
		},
		&urfave.DurationFlag{
			Name: "retry-min", Category: category, DefaultText: "1s", Validator: cli.Positive,
			Usage: "wait before the second attempt; it doubles with each further one",
		},
		&urfave.DurationFlag{
			Name: "retry-max", Category: category, DefaultText: "1m0s", Validator: cli.Positive,
			Usage: "longest wait between attempts",
		},
		&urfave.StringFlag{
			Name: "dead-letter", Category: category, DefaultText: "the queue's name with .dead appended",
			Usage:     "`NAME` of the queue for messages that keep failing",
			Validator: func(name string) error { return messaging.Queue(name).Validate() },
		},
	}
}

func run(ctx context.Context, cmd *urfave.Command) error {
	if n := cmd.NArg(); n > 0 {
		return cli.Usagef("consumer takes options only, and %d other arguments were given", n)
	}
	opts := options(cmd)
	url, err := cli.URL(cmd)
	if err != nil {
		return err
	}
	if err := opts.Validate(); err != nil {
		return err
	}
	if opts.Mode == consumer.Get && cmd.IsSet("http") {
		return cli.Usagef("--mode get and --http contradict each other: it takes one message and is gone")
	}
	if err := cli.NotInMemory(url); err != nil {
		return err
	}
	program := ops.Program{Command: cmd, URL: url, Connect: connectTimeout, Subscribes: true}
	return program.Run(ctx, func(o *ops.Ops, broker messaging.Broker) error {
		opts.Around = o.Handling
		_, err := consumer.Run(ctx, broker, opts, os.Stdout)
		return err
	})
}

func options(cmd *urfave.Command) consumer.Options {
	opts := consumer.Options{
		Queue:             cmd.String("queue"),
		Topic:             cmd.String("topic"),
		Group:             cmd.String("group"),
		Keys:              cmd.StringSlice("key"),
		Declare:           cli.Declare(cmd.String("declare")),
		Mode:              consumer.Mode(cmd.String("mode")),
		Workers:           cmd.Int("workers"),
		Prefetch:          cmd.Int("prefetch"),
		AutoAck:           cmd.Bool("auto-ack"),
		InactivityTimeout: cmd.Duration("inactivity-timeout"),
		Work:              cmd.Duration("work"),
		FailOn:            cmd.String("fail-on"),
		ShutdownTimeout:   cmd.Duration("shutdown-timeout"),
		Quiet:             cmd.Bool("quiet"),
		Retry: messaging.Retry{
			MaxAttempts: cmd.Int("max-attempts"),
			Min:         cmd.Duration("retry-min"),
			Max:         cmd.Duration("retry-max"),
		},
	}
	if dead := cmd.String("dead-letter"); dead != "" {
		opts.Retry.DeadLetter = messaging.Queue(dead)
	}
	return opts
}
