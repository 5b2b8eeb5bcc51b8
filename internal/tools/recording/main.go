// Command recording runs a command and writes what it printed, and when, as a
// moving picture of a terminal: an SVG that browsers play over and over.
//
//	go run ./internal/tools/recording -o docs/images/demo.svg make demo
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "recording:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("recording", flag.ContinueOnError)
	path := flags.String("o", "", "the `FILE` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	command := flags.Args()
	if *path == "" || len(command) == 0 {
		return fmt.Errorf("usage: recording -o FILE COMMAND [ARGUMENT...]")
	}
	lines, err := record(ctx, command)
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	return os.WriteFile(*path, picture(strings.Join(command, " "), lines), 0o644)
}
