package rabbitmqtest

import (
	"net/url"
	"os"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

// Rig returns a Broker that open opens at an address of its own, with a query,
// and the faults of the network behind that address and of the shared node.
func Rig(t testing.TB, query string, open func(url string) (messaging.Broker, error)) (*messagingtest.Rig, error) {
	direct := URL(t)
	u, err := url.Parse(direct)
	if err != nil {
		return nil, err
	}
	proxy, err := StartProxy(u.Host)
	if err != nil {
		return nil, err
	}
	b, err := open(proxy.URL(direct) + "?" + query)
	if err != nil {
		proxy.Close()
		return nil, err
	}
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	return &messagingtest.Rig{
		Broker:          b,
		Disconnect:      func() { must(proxy.Refuse(true)); proxy.Cut() },
		Reconnect:       func() { must(proxy.Refuse(false)) },
		HoldConfirms:    func() { proxy.Blackhole(ToClient, true) },
		ReleaseConfirms: func() { proxy.Blackhole(ToClient, false) },
		Block:           func() { must(SharedNode(t).SetMemoryAlarm(true)) },
		Unblock:         func() { must(SharedNode(t).SetMemoryAlarm(false)) },
		Close:           proxy.Close,
	}, nil
}

// MissingFaults are the rules of which a broker that exists already cannot be
// asked, for messagingtest's Harness.Missing.
func MissingFaults() map[string]string {
	if os.Getenv(EnvURL) == "" {
		return nil
	}
	const why = EnvURL + " is set, and an alarm can be raised on a node of our own only"
	return map[string]string{"P7": why, "H1_watch_blocked": why}
}
