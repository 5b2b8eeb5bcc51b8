// Package readme has the Go code of README.md as code that is compiled and run.
package readme

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

// TestShowsWhatIsCompiled: README.md has hello_test.go, but for its first line.
func TestShowsWhatIsCompiled(t *testing.T) {
	code, page := read(t, "hello_test.go"), read(t, "../../README.md")
	_, code, _ = strings.Cut(code, "\n\n")
	_, block, _ := strings.Cut(page, "```go\n")
	if block, _, _ = strings.Cut(block, "```\n"); block != code {
		t.Errorf("the first Go block of README.md is not hello_test.go from its imports on; it is\n%s", block)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		received := ""
		err := hello(ctx, "memory://", func(body []byte) error {
			received = string(body)
			stop()
			return nil
		})
		if err != nil || received != "Hello World!" {
			t.Errorf("received %q, and the end was %v", received, err)
		}
	})
}
