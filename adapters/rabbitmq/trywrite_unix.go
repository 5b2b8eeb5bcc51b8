//go:build unix

package rabbitmq

import (
	"net"
	"syscall"
)

// tryWriter returns a function that writes as much to conn as its buffer takes
// at once, and never waits; nil where conn has no such buffer of its own. It
// returns 0 for an error, which the next write will have again. It must not be
// called by two at once.
func tryWriter(conn net.Conn) func([]byte) int {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var p []byte
	var n int
	write := func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), p)
		return true // and do not wait until more goes
	}
	return func(all []byte) int {
		p, n = all, 0
		if raw.Write(write) != nil || err != nil {
			return 0
		}
		return n
	}
}
