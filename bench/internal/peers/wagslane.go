package peers

import (
	"context"
	"errors"

	wagslane "github.com/wagslane/go-rabbitmq"
)

// silent is a logger for what reports nothing that its errors do not say.
type silent struct{}

func (silent) Fatalf(string, ...any) {}
func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Infof(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

type wagslanePublisher struct {
	conn       *wagslane.Conn
	publisher  *wagslane.Publisher
	queue      string
	body       []byte
	goroutines int
}

// WagslanePublisher publishes through wagslane/go-rabbitmq, one message at a
// time from each goroutine, and awaits its confirm.
func WagslanePublisher(goroutines int) OpenPublisher {
	return func(_ context.Context, url, queue string, body []byte) (Publisher, error) {
		conn, err := wagslane.NewConn(url, wagslane.WithConnectionOptionsLogger(silent{}))
		if err != nil {
			return nil, err
		}
		p, err := wagslane.NewPublisher(conn, wagslane.WithPublisherOptionsConfirm, wagslane.WithPublisherOptionsLogger(silent{}))
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return &wagslanePublisher{conn, p, queue, body, goroutines}, nil
	}
}

func (w *wagslanePublisher) Publish(ctx context.Context, n int) error {
	return share(w.goroutines, n, func(_, n int) error {
		for range n {
			confirms, err := w.publisher.PublishWithDeferredConfirmWithContext(ctx, w.body, []string{w.queue},
				wagslane.WithPublishOptionsPersistentDelivery)
			if err == nil {
				err = awaitAll(ctx, confirms)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *wagslanePublisher) Close() error {
	w.publisher.Close()
	return w.conn.Close()
}

// WagslaneConsumer handles with so many workers. It acknowledges within the
// handler: what the library acknowledges afterwards, its Close may cut off.
func WagslaneConsumer(workers int) Consume {
	return func(ctx context.Context, url, queue string, handle func(body []byte)) error {
		conn, err := wagslane.NewConn(url, wagslane.WithConnectionOptionsLogger(silent{}))
		if err != nil {
			return err
		}
		c, err := wagslane.NewConsumer(conn, queue,
			wagslane.WithConsumerOptionsConcurrency(workers),
			wagslane.WithConsumerOptionsQOSPrefetch(Prefetch),
			wagslane.WithConsumerOptionsQueueNoDeclare,
			wagslane.WithConsumerOptionsLogger(silent{}))
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		returned := make(chan error, 1)
		go func() {
			returned <- c.Run(func(d wagslane.Delivery) wagslane.Action {
				handle(d.Body)
				_ = d.Ack(false) // what is not acknowledged is found in the queue
				return wagslane.Manual
			})
		}()
		select {
		case err = <-returned:
		case <-ctx.Done():
			c.Close()
			err = <-returned
		}
		return errors.Join(err, conn.Close())
	}
}
