// Command chaos runs the faults of internal/chaos. It prints a line for each
// and ends with status 1 where anything was not as it should be. The full run
// writes what it measured into docs/reliability.md.
//
//	go run ./internal/tools/chaos            all of it, in less than 15 minutes
//	go run ./internal/tools/chaos -short     every kind, in less than three
//	go run ./internal/tools/chaos -only kill-classic,half-open
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var r runner
	flag.BoolVar(&r.short, "short", false, "smaller numbers, several kinds of faults at a time")
	flag.StringVar(&r.only, "only", "", "`names` of the faults to run, separated by commas; default all")
	flag.StringVar(&r.page, "page", "", "write the table of results into this `file`, between its markers")
	flag.BoolVar(&r.child, "child", false, "run the fault of -only for another process, and print its result in JSON")
	flag.Parse()
	err := r.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}
