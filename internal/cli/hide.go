package cli

import (
	"os"
	"strings"
	"unsafe"
)

// takeArgs returns the process's arguments, and hides the passwords in them from
// the list of processes.
func takeArgs() []string {
	args := make([]string, len(os.Args))
	for i, arg := range os.Args {
		args[i] = strings.Clone(arg)
		hide(arg)
	}
	return args
}

// hide overwrites what stands in arg before a URL's host. Where Go's os.Args are
// the memory that the system gave to the process, as on all Unixes, that is
// what ps shows. arg must be such memory, or memory of the heap.
func hide(arg string) {
	for _, at := range userinfo.FindAllStringIndex(arg, -1) {
		secret := arg[at[0]+len("://") : at[1]-len("@")]
		bytes := unsafe.Slice(unsafe.StringData(secret), len(secret))
		for i := range bytes {
			bytes[i] = '*'
		}
	}
}
