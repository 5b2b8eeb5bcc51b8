// Package pika finds the Python that the tutorial's programs run on.
package pika

import (
	"errors"
	"os/exec"
	"sync"
)

// Interpreter returns a Python that has pika: Debian's package serves Debian's
// own Python only, which need not be the first in PATH. The error says how to
// get one.
var Interpreter = sync.OnceValues(func() (string, error) {
	for _, candidate := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(candidate, "-c", "import pika").Run() == nil {
			return candidate, nil
		}
	}
	return "", errors.New("Python with pika is needed for the tutorial's programs: sudo apt-get install python3-pika (elsewhere: pip install pika)")
})
