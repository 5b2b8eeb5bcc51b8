package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	urfave "github.com/urfave/cli/v3"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/pkg/messaging"
)

// Flag is --http.
func Flag() urfave.Flag {
	return &urfave.StringFlag{
		Name: "http", Category: cli.CategoryOutput, DefaultText: "none",
		Usage: "`ADDRESS` to serve /healthz, /readyz and /metrics at: HOST:PORT, or a port of " + loopback,
		Validator: func(text string) error {
			_, err := Address(text)
			return err
		},
	}
}

// Program is a program of cmd's flags that uses one broker.
type Program struct {
	// Command has [Flag] and the flags that cli.Log reads.
	Command *urfave.Command
	// URL is the broker's.
	URL string
	// Connect is how long the broker may take to connect.
	Connect time.Duration
	// Subscribes is as in [Options].
	Subscribes bool
}

// Run opens the broker, has use work with it while the program shows how it
// does, and closes everything.
func (p Program) Run(ctx context.Context, use func(*Ops, messaging.Broker) error) error {
	if err := cli.Log(os.Stderr, p.Command); err != nil {
		return err
	}
	o, err := p.start(ctx)
	if err != nil {
		return err
	}
	err = cli.WithBroker(ctx, p.URL, p.Connect, func(b messaging.Broker) error {
		if err := o.Attach(b, p.URL); err != nil {
			return err
		}
		return use(o, b)
	})
	return errors.Join(err, o.Close(ctx))
}

func (p Program) start(ctx context.Context) (*Ops, error) {
	opts := Options{Program: p.Command.Name, Version: p.Command.Version, Subscribes: p.Subscribes}
	if p.Command.IsSet("http") {
		opts.HTTP, _ = Address(p.Command.String("http")) // which the flag has validated
	}
	o, err := Start(ctx, opts)
	if errors.Is(err, ErrSettings) {
		return nil, &cli.UsageError{Err: err}
	}
	if err != nil {
		return nil, err
	}
	if addr := o.Addr(); addr != "" {
		cli.Notice(os.Stderr, fmt.Sprintf("Serving http://%s/healthz, /readyz and /metrics", addr))
	}
	return o, nil
}
