//go:build !unix

package rabbitmq

import "net"

// tryWriter is for systems where that is a write; see the one for Unix.
func tryWriter(net.Conn) func([]byte) int { return nil }
