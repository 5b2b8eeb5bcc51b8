package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v3"
)

const (
	completionName = "completion"
	// askForCompletion is what the shell's scripts call the program with, as
	// the last argument, to learn what could stand before it.
	askForCompletion = "--generate-shell-completion"
)

var shells = []string{"bash", "zsh", "fish", "pwsh"}

// completionFlag is --completion. It is a flag and not a command, because a
// word of the command line is a text to send like any other.
func completionFlag() urfave.Flag {
	return &urfave.StringFlag{
		Name: completionName, Category: CategoryOutput,
		Usage: "print the script that completes options in a `SHELL`: " + strings.Join(shells, ", ") +
			"; as in: source <(NAME --completion bash)",
		Validator: func(shell string) error {
			if !slices.Contains(shells, shell) {
				return fmt.Errorf("must be one of %s", strings.Join(shells, ", "))
			}
			return nil
		},
	}
}

// asksForCompletion says whether it is the shell that calls, and not a user.
// Nothing is done then but to print what could be meant.
func asksForCompletion(args []string) bool {
	return len(args) > 1 && args[len(args)-1] == askForCompletion
}

// printCompletion prints the library's script for a shell.
func printCompletion(ctx context.Context, cmd *urfave.Command, shell string) error {
	script := &urfave.Command{Name: cmd.Name, EnableShellCompletion: true, Writer: cmd.Writer}
	return script.Run(ctx, []string{cmd.Name, completionName, shell})
}
