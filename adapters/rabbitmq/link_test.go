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
	lose := func() (reconnected, lived time.Duration) {
		t.Helper()
		g, err := b.publishes.await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		proxy.Cut()
		next(t, g.lost, "the loss of the connection")
		lived = time.Since(g.began)
		if _, err := b.publishes.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		return time.Since(start), lived
	}
	ofUse := func() int { return strings.Count(log.String(), `connecting again" role=publish`) - doubtful(log) }
	lose()
	if ofUse() != 1 {
		t.Errorf("a connection of use was lost, and not answered at once:\n%s", log)
	}
	before := strings.Count(log.String(), "role=publish")
	const deaths = 4
	inARow, slow := 0, false
	for i := range deaths {
		took, lived := lose()
		if lived >= steady { // on a slow machine: it counts as one of use
			inARow, slow = 0, true
			continue
		}
		if least := reconnectFirst << inARow / 2; took < least {
			t.Errorf("connection %d came after %s; want at least %s", i+1, took, least)
		}
		inARow++
	}
	if lines := strings.Count(log.String(), "role=publish") - before; lines > deaths && !slow {
		t.Errorf("%d lines in the log for %d losses", lines, deaths)
	}
	publish(t, b, q, &messaging.Message{})
	good := ofUse()
	lose()
	if ofUse() != good+1 {
		t.Errorf("of use again, and the loss was not answered at once:\n%s", log)
	}
}

// doubtful counts the losses of a connection for publishing that were not
// answered at once.
func doubtful(log *testLog) int {
	n := 0
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, `connecting again" role=publish`) && !strings.Contains(line, "wait=0s") {
			n++
		}
	}
	return n
}
