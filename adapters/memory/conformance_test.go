package memory_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

// TestConformance runs every case in a bubble of its own, where waiting takes
// no time.
func TestConformance(t *testing.T) {
	h := harness()
	h.Around = synctest.Test
	messagingtest.Run(t, h)
}

func harness() messagingtest.Harness {
	return messagingtest.Harness{Open: func(context.Context) (*messagingtest.Rig, error) {
		b := memory.New(memory.WithLogger(slog.New(slog.DiscardHandler)))
		return &messagingtest.Rig{
			Broker:          b,
			Disconnect:      b.Disconnect,
			Reconnect:       b.Reconnect,
			HoldConfirms:    b.HoldConfirms,
			ReleaseConfirms: b.ReleaseConfirms,
			Block:           func() { b.Block("the test says so") },
			Unblock:         b.Unblock,
			CancelConsumers: b.CancelConsumers,
			Foreign: func(_ context.Context, queue string) error {
				return b.Inject(messaging.Queue(queue), messaging.Message{
					Headers: map[string]string{"bytes": "\x00\xff"}, Body: []byte{0xff, 0}})
			},
			MaxSize: memory.DefaultMaxMessageSize,
		}, nil
	}}
}
