package natsjetstream

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Subject is what another program publishes under to reach a queue.
func Subject(q messaging.Address) string { return queuePlace(q.Name()).subject }

// DeleteConsumer is what an operator may do to a queue.
func DeleteConsumer(nc *nats.Conn, q messaging.Address) error {
	return deleteConsumer(nc, queuePlace(q.Name()))
}

// DeleteMover is what an operator may do to what waits.
func DeleteMover(nc *nats.Conn) error { return deleteConsumer(nc, holdPlace) }

func deleteConsumer(nc *nats.Conn, p place) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return js.DeleteConsumer(context.Background(), p.stream, p.consumer)
}
