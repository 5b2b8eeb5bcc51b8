package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

// result is what became of one case.
type result struct {
	state   string // "pass", "fail", "missing", or "" where it did not run
	missing string // the reason that the adapter gives
	output  string // what the case printed
}

// results are those of one column, by the names of the cases.
type results map[string]result

// event is a line of go test -json.
type event struct{ Action, Test, Output string }

func measure(c column) (results, error) {
	cmd, err := c.on.command(c.pkg, c.test)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r, output, err := read(out, c.test)
	waitErr := cmd.Wait()
	var status *exec.ExitError
	if err = errors.Join(err, waitErr); err != nil && !errors.As(waitErr, &status) {
		return nil, err
	}
	if len(r) == 0 {
		return nil, fmt.Errorf("no case ran:\n%s", output)
	}
	return r, nil
}

// read collects the outcomes of the subtests of test.
func read(events io.Reader, test string) (results, string, error) {
	r := results{}
	var output strings.Builder
	for dec := json.NewDecoder(events); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return r, output.String(), nil
		} else if err != nil {
			return r, output.String(), fmt.Errorf("read the test's events: %w", err)
		}
		output.WriteString(e.Output)
		name, isCase := strings.CutPrefix(e.Test, test+"/")
		if !isCase {
			continue
		}
		seen := r[name]
		seen.output += e.Output
		if _, why, said := strings.Cut(e.Output, "missing: "); said {
			seen.state, seen.missing = "missing", strings.TrimSpace(why)
		}
		if (e.Action == "pass" || e.Action == "fail") && seen.state == "" {
			seen.state = e.Action
		}
		r[name] = seen
	}
}

func (r results) count(state string) (n int) {
	for _, c := range messagingtest.Cases() {
		if r[c.Name].state == state {
			n++
		}
	}
	return n
}

func (r results) summary() string {
	return fmt.Sprintf("%d passed, %d failed, %d missing, %d not run",
		r.count("pass"), r.count("fail"), r.count("missing"), r.count(""))
}

// failures is what the failed cases printed.
func (r results) failures() string {
	var b strings.Builder
	for _, c := range messagingtest.Cases() {
		if r[c.Name].state == "fail" {
			b.WriteString(r[c.Name].output)
		}
	}
	return b.String()
}

// bad names the cases that are not as they must be: no failure anywhere, and
// where every rule must hold nothing but passes.
func (r results) bad(must bool) string {
	var names []string
	for _, c := range messagingtest.Cases() {
		if state := r[c.Name].state; state == "fail" || state == "" || must && state != "pass" {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ", ")
}
