package messaging_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/warrenmq/warren/pkg/messaging"
)

func TestDeadLetterHeadersCutLongErrorsBetweenCharacters(t *testing.T) {
	for _, text := range []string{strings.Repeat("é", 1000), "x" + strings.Repeat("é", 1000), strings.Repeat("世", 1000)} {
		dec := messaging.Decision{Action: messaging.DeadLetter, Err: errors.New(text)}
		got := messaging.DeadLetterHeaders(messaging.Queue("q"), 1, dec)[messaging.HeaderDeadError]
		if len(got) > 1024 || len(got) < 1021 || !utf8.ValidString(got) || !strings.HasPrefix(text, got) {
			t.Errorf("of %d bytes, %d are left, which end in %q", len(text), len(got), got[len(got)-4:])
		}
	}
}
