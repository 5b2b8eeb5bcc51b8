package child

import (
	"errors"
	"syscall"
)

// attributes puts the child into a group of its own, so that signals reach all
// of it and CTRL+C does not, and ties its life to ours unless detached.
func attributes(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitStopped waits until the threads of a child that was sent SIGSTOP have
// all stopped, or the child has ended. It leaves the child's exit to its owner.
func awaitStopped(pid int) {
	const byPID = 1 // P_PID
	for {
		_, _, err := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, syscall.WSTOPPED|syscall.WNOWAIT, 0, 0)
		if !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
