package natsjetstream

import (
	"strings"
	"testing"
)

// TestToken: no two names may share a stream, and every name must be one that
// NATS takes.
func TestToken(t *testing.T) {
	long := strings.Repeat("x", 255)
	names := []string{"", "=", "a", "A", "a.b", "a b", "a*", "a>", "a/b", "a\\b", "=2E", ".", "哈囉", "=end",
		long, long[1:] + "y", strings.Repeat("é", 100)}
	seen := map[string]string{}
	for _, name := range names {
		token := token(name)
		if other, taken := seen[token]; taken {
			t.Errorf("%q and %q are both %q", name, other, token)
		}
		seen[token] = name
		if token == "" || len(token) > maxToken || strings.ContainsAny(token, " .*>/\\\t\r\n") {
			t.Errorf("%q became %q", name, token)
		}
	}
	if _, taken := seen[endOfKey]; taken {
		t.Errorf("the end of a key is a word too: %q", seen[endOfKey])
	}
}
