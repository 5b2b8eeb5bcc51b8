package rabbitmqtest

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a running child and the group it leads.
type process struct {
	pid  int
	done chan struct{} // closed once the child has been waited for
	err  error         // how it ended, never nil; valid after done
}

// startProcess starts cmd and waits for it in a goroutine, which ends when the
// child does. Unless detached, the kernel kills the child when this process
// ends (on Linux; elsewhere only Close does).
func startProcess(cmd *exec.Cmd, detached bool) (*process, error) {
	cmd.SysProcAttr = childAttr(detached)
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel's parent of a child is the thread that forked it: were
		// that thread to end, the child would be killed with the process alive.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		if p.err = cmd.Wait(); p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal sends s to the whole group, unless the child is gone already and its
// number may be somebody else's.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.pid, s) // fails only for a group that has just ended
	}
}
