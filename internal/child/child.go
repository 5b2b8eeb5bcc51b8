// Package child runs the servers that tests start: child processes that end
// with the test binary, however that ends.
package child

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a running child and the group it leads.
type Process struct {
	// PID is the child's process id, which is its group's too.
	PID int
	// Done is closed once the child has ended and been waited for.
	Done <-chan struct{}
	err  error
}

// Start starts cmd and waits for it in a goroutine, which ends when the child
// does. Unless detached, the kernel kills the child when this process ends (on
// Linux; elsewhere only its owner does). Of cmd.SysProcAttr, only the
// Credential is kept.
func Start(cmd *exec.Cmd, detached bool) (*Process, error) {
	attr := attributes(detached)
	if cmd.SysProcAttr != nil {
		attr.Credential = cmd.SysProcAttr.Credential
	}
	cmd.SysProcAttr = attr
	done := make(chan struct{})
	p := &Process{Done: done}
	started := make(chan error, 1)
	go func() {
		// The kernel's parent of a child is the thread that forked it: were
		// that thread to end, the child would be killed with the process alive.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.PID = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		if p.err = cmd.Wait(); p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Err waits until the child has ended and says how it did. It is never nil.
func (p *Process) Err() error {
	<-p.Done
	return p.err
}

// Signal sends s to the whole group, unless the child is gone already and its
// number may be somebody else's.
func (p *Process) Signal(s syscall.Signal) {
	select {
	case <-p.Done:
	default:
		_ = syscall.Kill(-p.PID, s) // fails only for a group that has just ended
	}
}

// Freeze sends SIGSTOP and, on Linux, waits until the child's threads have all
// stopped. SIGCONT lets it run on.
func (p *Process) Freeze() {
	p.Signal(syscall.SIGSTOP)
	awaitStopped(p.PID)
}
