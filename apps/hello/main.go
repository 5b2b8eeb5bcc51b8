// Command hello is the tutorial's producer and its workers in one process, on
// the broker in memory unless it is told another.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v3"

	_ "github.com/warrenmq/warren/adapters/memory"
	_ "github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/pkg/messaging"
)

// connectTimeout is how long the broker may take to connect at the start.
const connectTimeout = 30 * time.Second

const description = `Sends a handful of messages to a queue, has workers share them, each working a while for every
dot in the text, and ends when all are done. It is the same code as the programs producer and
consumer, and the broker is the URL: memory:// needs nothing installed.

On another broker it uses a queue of its own and deletes it in the end, unless --queue names one.

Examples:
  hello                                        memory, two workers, two seconds
  hello --workers 3 --work 500ms A. B.. C...   texts of your own
  hello --url amqp://localhost:5672/           the same on RabbitMQ, as its user guest`

func main() {
	cli.Main(&urfave.Command{
		Name:        "hello",
		Usage:       "producer and workers in one process",
		UsageText:   "hello [options] [TEXT...]",
		Description: description,
		Flags:       flags(),
		Action:      run,
	})
}

func flags() []urfave.Flag {
	all := append(cli.URLFlags("memory://", "memory://"),
		cli.QueueFlag("", "hello in memory, elsewhere one of its own", nil),
		&urfave.IntFlag{
			Name: "workers", Category: cli.CategoryMessages, Value: 2, Validator: cli.AtLeast(1),
			Usage: "share the messages between `N` workers",
		},
		&urfave.DurationFlag{
			Name: "work", Category: cli.CategoryMessages, Value: 200 * time.Millisecond, Validator: cli.AtLeast(time.Duration(0)),
			Usage: "work so long for every dot in a text",
		},
	)
	return append(all, cli.LogFlags()...)
}

func run(ctx context.Context, cmd *urfave.Command) error {
	url, err := cli.URL(cmd)
	if err != nil {
		return err
	}
	d := demo{
		queue:   cmd.String("queue"),
		texts:   cmd.Args().Slice(),
		workers: cmd.Int("workers"),
		work:    cmd.Duration("work"),
	}
	if d.queue == "" {
		d.queue, d.cleanUp = ownQueue(url)
	}
	if err := d.validate(); err != nil {
		return err
	}
	if err := cli.Log(os.Stderr, cmd); err != nil {
		return err
	}
	return cli.WithBroker(ctx, url, connectTimeout, func(broker messaging.Broker) error {
		return d.run(ctx, broker, os.Stdout)
	})
}

// ownQueue is a queue that nobody else uses, and whether it has to be deleted:
// a broker in memory goes as a whole.
func ownQueue(url string) (name string, cleanUp bool) {
	if cli.InMemory(url) {
		return "hello", false
	}
	return "hello-demo-" + strings.ToLower(rand.Text()[:8]), true
}
