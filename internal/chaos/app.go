package chaos

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/warrenmq/warren/internal/child"
)

// app is one of the programs, running.
type app struct {
	*child.Process
	t     *trial
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// start runs a program on a broker. Each line that it prints goes to line,
// from one goroutine.
func (t *trial) start(url, name string, line func(string), args ...string) (*app, error) {
	path, err := t.rig.App(t.ctx, name)
	if err != nil {
		return nil, err
	}
	a := &app{t: t, cmd: exec.Command(path, args...)}
	a.cmd.Env = append(os.Environ(), "MESSAGING_URL="+url)
	a.cmd.Stdout, a.cmd.Stderr = &lines{each: line}, &t.log
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if a.Process, err = child.Start(a.cmd, false); err != nil {
		return nil, err
	}
	t.cleanup(a.kill)
	return a, nil
}

// kill ends the program as kill -9 does, unless it has ended.
func (a *app) kill() {
	a.Signal(syscall.SIGKILL)
	<-a.Done
}

// terminate asks the program to end, and returns its exit status.
func (a *app) terminate() (int, error) {
	a.Signal(syscall.SIGTERM)
	select {
	case <-a.Done:
		return a.cmd.ProcessState.ExitCode(), nil
	case <-a.t.ctx.Done():
		return 0, context.Cause(a.t.ctx)
	}
}

// lines is a writer that passes on whole lines, without their ends.
type lines struct {
	each func(string)
	rest []byte
}

// Write implements [io.Writer].
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.each(string(line))
		l.rest = rest
	}
}
