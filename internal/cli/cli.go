// Package cli is the plumbing that the command-line programs of warren share:
// the flags that all of them have, signals, the exit status, how errors are
// shown, the opening of the broker, and the few words they have in common on
// the terminal.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"

	urfave "github.com/urfave/cli/v3"
)

// The exit statuses, as shells and other tools use them.
const (
	StatusOK          = 0
	StatusFailed      = 1
	StatusUsage       = 2   // the command line was wrong, and nothing was done
	StatusInterrupted = 130 // a second CTRL+C: 128 + SIGINT
)

// Main runs cmd on the process's arguments and ends the process. The context
// that the Action gets ends with the first CTRL+C or SIGTERM; the second ends
// the process at once.
func Main(cmd *urfave.Command) {
	ctx, stop := interruptible(context.Background(), os.Stderr, os.Exit)
	status := run(ctx, cmd, takeArgs())
	stop()
	os.Exit(status)
}

// run is Main without the process around it.
func run(ctx context.Context, cmd *urfave.Command, args []string) int {
	cmd.Version = version()
	cmd.HideHelpCommand = true           // "help" is a text like any other
	cmd.DisableSliceFlagSeparator = true // a value may contain commas
	cmd.CustomRootCommandHelpTemplate = urfave.CommandHelpTemplate
	cmd.ExitErrHandler = func(context.Context, *urfave.Command, error) {} // shown below
	cmd.OnUsageError = func(_ context.Context, _ *urfave.Command, err error, _ bool) error { return err }

	cmd.Flags = append(cmd.Flags, completionFlag())
	cmd.EnableShellCompletion = asksForCompletion(args) // else the word "completion" would be a command

	started := false
	action := cmd.Action
	cmd.Action = func(ctx context.Context, cmd *urfave.Command) error {
		started = true
		switch {
		case cmd.IsSet(completionName):
			return printCompletion(ctx, cmd, cmd.String(completionName))
		case cmd.IsSet(healthcheckName):
			return healthcheck(ctx, cmd.String(healthcheckName))
		}
		return action(ctx, cmd)
	}
	err := cmd.Run(ctx, args)
	if err != nil && !started { // in reading the command line
		err = &UsageError{errors.New(twoDashes.ReplaceAllString(err.Error(), "$1--$2"))}
	}
	return report(cmd, err)
}

// twoDashes finds the flags in the flag parser's errors, which it writes with
// one dash, or with none where the value is from the environment.
var twoDashes = regexp.MustCompile(`( for flag |not defined: )-?([a-z][a-z-]+)`)

// UsageError is a command line that cannot be right.
type UsageError struct{ Err error }

// Error says what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error within.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef returns a UsageError. The text names the flags.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// report shows an error to the user and returns the exit status.
func report(cmd *urfave.Command, err error) int {
	if err == nil {
		return StatusOK
	}
	if jsonLog.Load() {
		slog.Error(cmd.Name+" failed", "error", redact(err.Error()))
		return statusOf(err)
	}
	say(cmd.ErrWriter, "%s: %s\n", cmd.Name, redact(err.Error()))
	if statusOf(err) == StatusUsage {
		say(cmd.ErrWriter, "%s --help shows the options\n", cmd.Name)
	}
	return statusOf(err)
}

func statusOf(err error) int {
	if usage := (*UsageError)(nil); errors.As(err, &usage) {
		return StatusUsage
	}
	return StatusFailed
}

// userinfo is what stands between a URL's scheme and its host. It is greedy,
// because a password may contain anything.
var userinfo = regexp.MustCompile(`://\S*@`)

// redact hides the password of a URL that was given in a wrong place (a
// misspelt flag, another flag's value) and quoted by the flag parser.
func redact(text string) string {
	return userinfo.ReplaceAllString(text, "://***@")
}

// say writes to the terminal; there is nobody to tell when that fails.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
