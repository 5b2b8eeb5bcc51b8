// Command producer is the hello producer of the RabbitMQ tutorial, on any
// broker that warren has an adapter for: it sends texts to a queue or a topic.
package main

import (
	"context"
	"io"
	"os"

	urfave "github.com/urfave/cli/v3"
	"golang.org/x/term"

	_ "github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/ops"
	"github.com/warrenmq/warren/internal/producer"
	"github.com/warrenmq/warren/pkg/messaging"
)

const description = `Sends each TEXT as a message of its own ("Hello World!" where there is none), waits until
the broker has confirmed that it stored it, and prints " [x] Sent 'TEXT'". A single - sends
the lines of standard input, one message a line, in order; a line's end is not part of it.

Up to 20 messages, and the lines of standard input, get a line each. More get a progress bar
on a terminal. Where there is more than one, a summary comes last.

A producer that runs for long is watched with --http, which serves health, readiness and metrics;
the OTEL_* variables say where traces and metrics are exported to, --log-format json makes the log
structured, and --url-file keeps the password out of sight. docs/operations.md has the rest.

The exit status is 0 when every message is stored, 1 when one failed (which, and why, is said
on standard error) or was not sent, 2 when the command line is wrong, and 130 after a second
CTRL+C. The first CTRL+C stops sending and waits for what is on its way; for standard input
it is the end of the input, and the lines printed as sent are those that are stored.

Examples:
  producer                               Hello World! to the queue hello
  producer First. Second.. Third...      three messages
  producer --count 100000 --queue load   many
  seq 1000 | producer --rate 50 -        lines, 50 a second
  producer --header tenant=acme --content-type application/json '{"id":1}'
  producer --topic orders --key order.eu.placed '{"id":1}'
  producer --delay 1m 'A reminder.'      delivered in a minute
  tail -f log | producer --http 8080 -   with health, readiness and metrics
  producer --declare tutorial            to the queue that the Python tutorial declares
  producer -- -n                         a text that begins with a dash`

func main() {
	cli.Main(&urfave.Command{
		Name:        "producer",
		Usage:       "send messages to a queue or a topic",
		UsageText:   "producer [options] [TEXT... | -]",
		Description: description,
		Flags:       flags(),
		Action:      run,
	})
}

func flags() []urfave.Flag {
	topic := cli.TopicFlag()
	all := append(cli.URLFlags(cli.DefaultURL, "amqp://localhost:5672/, as its user guest"),
		cli.QueueFlag("", producer.DefaultQueue, topic),
		cli.DeclareFlag(),
		topic,
		&urfave.StringFlag{
			Name: "key", Aliases: []string{"k"}, Category: cli.CategoryMessages, Validator: cli.NotEmpty,
			Usage: "routing `KEY` of every message to a topic: words separated by dots",
		},
		&urfave.DurationFlag{
			Name: "timeout", Category: cli.CategoryBroker, Value: producer.DefaultTimeout, Validator: cli.Positive,
			Usage: "how long the broker may take to connect, and to confirm what was sent",
		},
		&urfave.IntFlag{
			Name: "count", Aliases: []string{"n"}, Category: cli.CategoryMessages, DefaultText: "1", Validator: cli.AtLeast(1),
			Usage: "send the texts `N` times over",
		},
		&urfave.FloatFlag{
			Name: "rate", Category: cli.CategoryMessages, DefaultText: "no limit", Validator: cli.AtLeast(0.0),
			Usage: "at most `N` messages a second",
		},
		&urfave.StringSliceFlag{
			Name: "header", Category: cli.CategoryMessages,
			Usage: "`KEY=VALUE` among the headers of every message; may be given several times",
		},
		&urfave.StringFlag{
			Name: "content-type", Category: cli.CategoryMessages,
			Usage: "MIME `TYPE` of every message",
		},
		&urfave.DurationFlag{
			Name: "delay", Category: cli.CategoryMessages, DefaultText: "none", Validator: cli.Positive,
			Usage: "deliver each message no sooner than after so long",
		},
		&urfave.DurationFlag{
			Name: "ttl", Category: cli.CategoryMessages, DefaultText: "never", Validator: cli.Positive,
			Usage: "drop each message that was not delivered for so long",
		},
		cli.QuietFlag(),
		ops.Flag(),
		cli.HealthcheckFlag(),
	)
	return append(all, cli.LogFlags()...)
}

func run(ctx context.Context, cmd *urfave.Command) error {
	headers, err := producer.ParseHeaders(cmd.StringSlice("header"))
	if err != nil {
		return err
	}
	opts := producer.Options{
		Queue:       cmd.String("queue"),
		Topic:       cmd.String("topic"),
		Key:         cmd.String("key"),
		Declare:     cli.Declare(cmd.String("declare")),
		Args:        cmd.Args().Slice(),
		Count:       cmd.Int("count"),
		Rate:        cmd.Float("rate"),
		Headers:     headers,
		ContentType: cmd.String("content-type"),
		Delay:       cmd.Duration("delay"),
		TTL:         cmd.Duration("ttl"),
		Timeout:     cmd.Duration("timeout"),
		Quiet:       cmd.Bool("quiet"),
		Bar:         terminal(os.Stderr),
	}
	url, err := cli.URL(cmd)
	if err != nil {
		return err
	}
	if err := opts.Validate(); err != nil {
		return err
	}
	if err := cli.NotInMemory(url); err != nil {
		return err
	}
	program := ops.Program{Command: cmd, URL: url, Connect: opts.Timeout}
	return program.Run(ctx, func(o *ops.Ops, broker messaging.Broker) error {
		_, err := producer.Run(ctx, o.Publishing(broker), opts, os.Stdin, os.Stdout)
		return err
	})
}

// terminal returns f where somebody is looking at it.
func terminal(f *os.File) io.Writer {
	if !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}
