package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Output writes the program's lines, whole, from any number of goroutines. It
// remembers the first error, so that a full disk does not pass unnoticed.
type Output struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

// NewOutput returns an Output that writes to w.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

// Printf writes one or more whole lines.
func (o *Output) Printf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := fmt.Fprintf(o.w, format, args...); err != nil && o.err == nil {
		o.err = fmt.Errorf("write the output: %w", err)
	}
}

// Err returns the first error of writing.
func (o *Output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// maxShown is how many bytes of a message are shown on a line.
const maxShown = 1024

// Quote shows a message's body on one line between single quotes, as the
// tutorial does. What a terminal would obey rather than print is escaped as in
// Go, and what is longer than 1,024 bytes is cut and its length told.
func Quote(body []byte) string {
	shown, more := body, ""
	if len(body) > maxShown {
		shown = cutRune(body[:maxShown])
		more = fmt.Sprintf("... (%d bytes)", len(body))
	}
	quoted := strconv.Quote(string(shown))
	inner := strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	return "'" + inner + "'" + more
}

// cutRune drops the beginning of a character at the end of b.
func cutRune(b []byte) []byte {
	for i := 1; i <= min(utf8.UTFMax, len(b)); i++ {
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}
