// Command gotest runs go test with its own arguments, prints what go test
// prints, and fails where a test was skipped: a run that was meant to be
// complete must not look so because its broker tests did not happen.
//
//	go run ./internal/tools/gotest -race -count=1 ./...
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	// CTRL+C reaches go test too, which ends in its own time: wait for it.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)

	ok, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// run reports whether all tests ran and passed.
func run(args []string) (ok bool, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	p := newPrinter(os.Stdout)
	readErr := p.readAll(events)
	waitErr := cmd.Wait()
	var status *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &status) {
		return false, waitErr
	}
	return waitErr == nil && p.reportSkips(), readErr
}
