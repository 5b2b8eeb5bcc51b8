package rabbitmq

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// TestConnectionsThatDieAtOnce: where each connection opens and dies, as behind
// a proxy that lets the handshake pass, the waits between them grow as they do
// where none opens at all, and each costs one line in the log. Once they are of
// use again, the next loss is answered at once.
func TestConnectionsThatDieAtOnce(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.SharedNode(t)
	proxy := rabbitmqtest.NewProxy(t, node.Addr())
	log, logger := newTestLog(t)
	b := openAt(t, proxy.URL(node.URL()), WithLogger(logger))
	q := declare(t, b)
	publish(t, b, q, &messaging.Message{})
	lose := func() (reconnected time.Duration) {
		t.Helper()
		g, err := b.publishes.await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		proxy.Cut()
		next(t, g.lost, "the loss of the connection")
		if _, err := b.publishes.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	lose()
	logged(t, log, "connecting again", "role=publish", "attempt=1", "wait=0s") // that one was of use
	before := strings.Count(log.String(), "role=publish")
	const deaths = 4
	for i := range deaths {
		if took, least := lose(), reconnectFirst<<i/2; took < least {
			t.Errorf("connection %d came after %s; want at least %s", i+1, took, least)
		}
	}
	if lines := strings.Count(log.String(), "role=publish") - before; lines > deaths {
		t.Errorf("%d lines in the log for %d losses", lines, deaths)
	}
	publish(t, b, q, &messaging.Message{})
	if took := lose(); took >= reconnectFirst<<deaths/2 {
		t.Errorf("of use again, and after the loss the next came after %s", took)
	}
}
