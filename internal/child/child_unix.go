//go:build unix && !linux

package child

import "syscall"

// attributes puts the child into a group of its own, so that signals reach all
// of it and CTRL+C does not.
func attributes(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true}
}

// awaitStopped does nothing here: the child stops a moment after SIGSTOP.
func awaitStopped(int) {}
