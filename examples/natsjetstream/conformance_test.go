package natsjetstream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/warrenmq/warren/examples/natsjetstream"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

// missing are the rules that this adapter does not keep, each with the reason.
// Every other rule is a test that must pass.
var missing = map[string]string{
	"P7":                    "JetStream has no alarm that blocks publishers; what it has no room for it refuses, which is ErrRejected",
	"H1_watch_blocked":      "as P7",
	"P8_too_large":          "JetStream stores 64 KiB of headers, the contract has 100 KB; TestTooLarge holds the adapter to its own limit",
	"C12_as_declared":       "goes through SingleActive and AutoDelete, as Declare_again",
	"T3_patterns":           "NATS has what # is at the end of a pattern only; TestPatterns has all others",
	"Declare_again":         "goes through all properties, and a stream cannot be SingleActive, AutoDelete or Exclusive; TestDeclare has the others",
	"Declare_single_active": "a stream's consumer serves all who ask",
	"Declare_auto_delete":   "a stream is not deleted when its last consumer leaves",
	"Declare_exclusive":     "a stream belongs to the account and not to a connection",
}

func TestConformance(t *testing.T) {
	url := startServer(t)
	direct, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(direct.Close)
	messagingtest.Run(t, messagingtest.Harness{
		Accuracy: time.Second,
		Slack:    500 * time.Millisecond,
		Missing:  missing,
		Open: func(ctx context.Context) (*messagingtest.Rig, error) {
			network := &network{}
			b, err := natsjetstream.Open(ctx, url+"?ack_wait=2s", nats.SetCustomDialer(network))
			if err != nil {
				return nil, err
			}
			return &messagingtest.Rig{
				Broker:          b,
				Disconnect:      network.cut,
				Reconnect:       network.restore,
				HoldConfirms:    network.hold,
				ReleaseConfirms: network.release,
				CancelConsumers: func(q messaging.Address) {
					if err := natsjetstream.DeleteConsumer(direct, q); err != nil {
						t.Error(err)
					}
				},
				Foreign: func(_ context.Context, queue string) error {
					subject := natsjetstream.Subject(messaging.Queue(queue))
					_, err := direct.RequestMsg(&nats.Msg{
						Subject: subject, Header: nats.Header{"Odd": {"%zz", "two"}}, Data: []byte{0xff, 0},
					}, 10*time.Second)
					if err != nil {
						return fmt.Errorf("publish to %s: %w", subject, err)
					}
					return nil
				},
				MaxSize: maxPayload - 60<<10,
			}, nil
		},
	})
}
