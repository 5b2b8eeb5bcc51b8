package ops

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// loopback is where is listened unless another address is given in full: what a
// program shows is nobody's business outside of its machine or pod.
const loopback = "127.0.0.1"

// Address reads what --http is given: HOST:PORT, or a port, with or without a
// colon before it, of the loopback interface. Port 0 is any that is free.
func Address(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil && !strings.Contains(text, ":") {
		host, port, err = "", text, nil
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", fmt.Errorf("must be HOST:PORT or a port, for example %s:8080", loopback)
	}
	if host == "" {
		host = loopback
	}
	return net.JoinHostPort(host, port), nil
}
