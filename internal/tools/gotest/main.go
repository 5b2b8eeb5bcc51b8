// Command gotest runs go test with its own arguments, prints what go test
// prints, and fails where a test was skipped: a run that was meant to be
// complete must not look so because its broker tests did not happen. It fails
// too where the password of a server that tests use is in what a test wrote,
// whether the test passed or not.
//
//	go run ./internal/tools/gotest -race -count=1 ./...
package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/internal/testsecret"
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

// passwords are those of the servers that the tests start, and of the broker
// that they are given, unless that is the one which everybody knows.
func passwords() []string {
	all := []string{testsecret.Password}
	if u, err := url.Parse(os.Getenv(rabbitmqtest.EnvURL)); err == nil {
		if given, _ := u.User.Password(); given != "" && given != "guest" {
			all = append(all, given)
		}
	}
	return all
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
	p := newPrinter(os.Stdout, passwords()...)
	readErr := p.readAll(events)
	waitErr := cmd.Wait()
	var status *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &status) {
		return false, waitErr
	}
	return waitErr == nil && p.report(), readErr
}
