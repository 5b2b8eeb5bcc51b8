package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// line is a line of output.
type line struct {
	at   time.Duration // since the command was started
	text string
}

// record runs a command to its end. What it prints is passed on, so that who
// records sees it too.
func record(ctx context.Context, command []string) ([]line, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines, err := timed(io.TeeReader(out, os.Stdout), start)
	if waitErr := cmd.Wait(); err == nil {
		err = waitErr
	}
	if err == nil && len(lines) == 0 {
		err = fmt.Errorf("it printed nothing")
	}
	return lines, err
}

// timed reads lines, and remembers when each came.
func timed(from io.Reader, start time.Time) ([]line, error) {
	var lines []line
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		lines = append(lines, line{time.Since(start), printable(scanner.Text())})
	}
	return lines, scanner.Err()
}

// printable leaves out what no XML may have.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}
