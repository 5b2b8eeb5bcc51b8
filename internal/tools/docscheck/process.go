package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/warrenmq/warren/internal/child"
)

const (
	// runs is how long a command may take, with the compiling that it does.
	runs = 3 * time.Minute
	// ends is how long a program may take to end when it is told to.
	ends = 30 * time.Second
)

// screen is what a process has written so far.
type screen struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newScreen() *screen { return &screen{changed: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.text.Write(p)
}

// read returns the text, and what is closed when there is more.
func (s *screen) read() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.changed
}

// process is a command that runs, in a group of its own.
type process struct {
	*child.Process
	out    *screen // all of it, as a terminal shows it
	stdout *screen // standard output alone
}

// start starts a command in dir, with environment.
func start(dir string, environment []string, name string, args ...string) (*process, error) {
	p := &process{out: newScreen(), stdout: newScreen()}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, environment
	cmd.Stdout, cmd.Stderr = io.MultiWriter(p.out, p.stdout), p.out
	cmd.WaitDelay = time.Second // for the output, where something is left over that has it open
	var err error
	p.Process, err = child.Start(cmd, false)
	return p, err
}

// await waits until the output is as enough wants it.
func (p *process) await(ctx context.Context, enough func(output string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, runs)
	defer cancel()
	for {
		text, changed := p.out.read()
		if enough(text) {
			return nil
		}
		select {
		case <-changed:
		case <-p.Done:
			if text, _ := p.out.read(); enough(text) {
				return nil
			}
			return fmt.Errorf("it ended (%w) before that", p.Err())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end waits for the end and returns the exit status.
func (p *process) end(ctx context.Context, within time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case <-p.Done:
	case <-ctx.Done():
		return 0, fmt.Errorf("it has not ended within %v", within)
	}
	var status *exec.ExitError
	if errors.As(p.Err(), &status) {
		return status.ExitCode(), nil
	}
	return 0, nil
}

// kill ends the process and what it has started.
func (p *process) kill() {
	_ = syscall.Kill(-p.PID, syscall.SIGKILL) // also what is left of the group when its first process is gone
	<-p.Done
}

// output is what was written so far.
func (p *process) output() string {
	text, _ := p.out.read()
	return text
}

// environ is this process's environment with changes, and without what points
// its programs at a broker. An empty value takes a variable away.
func environ(changes map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, changed := changes[name]
		return changed || strings.HasPrefix(name, "MESSAGING_")
	})
	for name, value := range changes {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
