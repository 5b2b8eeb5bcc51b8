package main

import (
	"context"
	"errors"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// broker is the RabbitMQ under load.
type broker struct {
	url  string
	pid  int // 0 where it is not known
	stop func()
}

// startBroker takes the one that is named, or starts a node.
func startBroker(ctx context.Context, named string) (broker, error) {
	if named != "" {
		return broker{url: named, stop: func() {}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	node, err := rabbitmqtest.Start(ctx, rabbitmqtest.Options{})
	if errors.Is(err, rabbitmqtest.ErrNotInstalled) {
		return broker{}, errors.New("RabbitMQ is not installed: run `make rabbitmq-install`, or name a broker with --url")
	}
	if err != nil {
		return broker{}, err
	}
	pid, err := node.PID()
	if err != nil {
		node.Close()
		return broker{}, err
	}
	return broker{node.URL(), pid, node.Close}, nil
}
