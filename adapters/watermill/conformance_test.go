package watermill_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/warrenmq/warren/adapters/watermill"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

// TestConformanceAMQP is stock watermill-amqp.
func TestConformanceAMQP(t *testing.T) {
	url := rabbitmqtest.URL(t)
	messagingtest.Run(t, messagingtest.Harness{
		Open: func(context.Context) (*messagingtest.Rig, error) {
			b, err := stockBroker(url)
			return &messagingtest.Rig{Broker: b}, err
		},
		Slack:   500 * time.Millisecond,
		Missing: missingOnAMQP,
	})
}

// TestConformanceGoChannel is Watermill's Pub/Sub in the process. It is no
// queue: every subscription gets every message, also, where it is persistent,
// those that were acknowledged.
func TestConformanceGoChannel(t *testing.T) {
	messagingtest.Run(t, messagingtest.Harness{
		Open: func(context.Context) (*messagingtest.Rig, error) {
			ch := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, nil)
			return &messagingtest.Rig{Broker: watermill.NewBroker(ch, ch, watermill.WithLogger(quiet))}, nil
		},
		Slack:   500 * time.Millisecond,
		Missing: missingOnGoChannel,
	})
}

// TestConformanceBothWays sends every message through both halves of this
// package, and the memory broker below them. It shows what the way through
// Watermill costs: next to nothing, where a Pub/Sub does its part.
func TestConformanceBothWays(t *testing.T) {
	messagingtest.Run(t, messagingtest.Harness{
		Open:    func(context.Context) (*messagingtest.Rig, error) { return bothWays(), nil },
		Around:  synctest.Test,
		Missing: missingOnBothWays,
	})
}
