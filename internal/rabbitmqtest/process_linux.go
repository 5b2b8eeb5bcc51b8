package rabbitmqtest

import "syscall"

// childAttr puts the child into a group of its own, so that signals reach all
// of it and CTRL+C does not, and ties its life to ours unless detached.
func childAttr(detached bool) *syscall.SysProcAttr {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
