// Command soak does one thing for long, on the broker in memory and on a
// private RabbitMQ node, and measures what the process holds meanwhile: a
// million messages, then ten thousand subscriptions that come and go. It ends
// with status 1 where the heap or the goroutines grow.
//
//	go run ./internal/tools/soak
//	go run ./internal/tools/soak -messages 100000 -subscriptions 1000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/warrenmq/warren/adapters/memory"   // memory://
	_ "github.com/warrenmq/warren/adapters/rabbitmq" // amqp://
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// soak is how much of everything.
type soak struct {
	messages, subscriptions int
	out                     io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s := soak{out: os.Stdout}
	flag.IntVar(&s.messages, "messages", 1_000_000, "`how many` messages go through a queue")
	flag.IntVar(&s.subscriptions, "subscriptions", 10_000, "`how many` subscriptions come and go")
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelWarn) // not each subscription
	err := s.everywhere(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func (s soak) everywhere(ctx context.Context) error {
	if err := s.on(ctx, "memory", "memory://"); err != nil {
		return err
	}
	node, err := rabbitmqtest.Start(ctx, rabbitmqtest.Options{})
	if err != nil {
		return err
	}
	defer node.Close()
	return s.on(ctx, "rabbitmq", node.URL())
}

func (s soak) on(ctx context.Context, name, url string) (err error) {
	b, err := messaging.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(context.WithoutCancel(ctx))) }()
	if err := s.run(ctx, b, name+", messages", s.messages, throughput); err != nil {
		return err
	}
	return s.run(ctx, b, name+", subscriptions", s.subscriptions, comeAndGo)
}
