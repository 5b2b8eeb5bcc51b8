package rabbitmq_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"

	"github.com/warrenmq/warren/adapters/rabbitmq"
	"github.com/warrenmq/warren/pkg/messaging"
)

// What a URL cannot say. Everything else is in the URL, so that a service needs
// no more than messaging.Open. Nobody is at this address, and the error says so
// as soon as connect_timeout is over.
func ExampleOpen() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	_, err := rabbitmq.Open(ctx, "amqps://user:secret@127.0.0.1:1/orders?connect_timeout=10ms",
		rabbitmq.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS13}),
		rabbitmq.WithMarshaler(rabbitmq.Marshaler{}),
		rabbitmq.WithTopologyBuilder(&wamqp.DefaultTopologyBuilder{}),
		rabbitmq.WithLogger(slog.New(slog.DiscardHandler)))
	fmt.Println(err != nil, errors.Is(err, messaging.ErrURL))

	_, err = rabbitmq.Open(ctx, "amqp://127.0.0.1/?colour=red")
	fmt.Println(errors.Is(err, messaging.ErrURL))
	// Output:
	// true false
	// true
}
