package rabbitmqtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// Ports are taken from below the range that systems give to outgoing
// connections (32768 and up on Linux, 49152 elsewhere). One from that range
// could be lost to a client while the node is down, and a client that keeps
// dialling such a port on loopback ends up connected to itself.
const firstPort, lastPort = 20000, 32000

// FreePorts returns different ports of 127.0.0.1 that nobody listens on just
// now. It fails where a thousand tries found too few.
func FreePorts(count int) ([]int, error) {
	var held []net.Listener // until all are found: they must differ
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	var ports []int
	for range 1000 {
		l, err := listenFree()
		if err != nil {
			continue
		}
		held = append(held, l)
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == count {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports between %d and %d on 127.0.0.1: too many are taken", count, firstPort, lastPort)
}

// listenFree tries one port.
func listenFree() (net.Listener, error) {
	port := firstPort + rand.IntN(lastPort-firstPort)
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// portTaken tells whether a start failed for a port that somebody else has.
func portTaken(err error) bool {
	if errors.Is(err, syscall.EADDRINUSE) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "eaddrinuse") || strings.Contains(text, "in use") || strings.Contains(text, "already_started")
}
