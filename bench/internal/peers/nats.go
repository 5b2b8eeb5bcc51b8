package peers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

type natsExchange struct {
	server *server.Server
	pubs   []*nats.Conn // one for each publisher
	subs   []*nats.Conn
	body   []byte
}

const natsSubject = "bench"

// NATS is its server within the process, with connections that use no
// network, and a queue group.
func NATS(_ context.Context, load Load, handle func()) (Exchange, error) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true})
	if err != nil {
		return nil, err
	}
	x := &natsExchange{server: s, body: load.Body}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.Join(errors.New("the NATS server is not ready"), x.Close())
	}
	for range load.Publishers {
		conn, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			return nil, errors.Join(err, x.Close())
		}
		x.pubs = append(x.pubs, conn)
	}
	for range load.Consumers {
		if err := x.subscribe(handle); err != nil {
			return nil, errors.Join(err, x.Close())
		}
	}
	return x, nil
}

func (x *natsExchange) subscribe(handle func()) error {
	conn, err := nats.Connect("", nats.InProcessServer(x.server))
	if err != nil {
		return err
	}
	x.subs = append(x.subs, conn)
	sub, err := conn.QueueSubscribe(natsSubject, "workers", func(*nats.Msg) { handle() })
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // by default it drops what is too much
	}
	return errors.Join(err, conn.Flush())
}

func (x *natsExchange) Publish(_ context.Context, publisher, n int) error {
	conn := x.pubs[publisher]
	for range n {
		if err := conn.Publish(natsSubject, x.body); err != nil {
			return err
		}
	}
	return conn.Flush()
}

func (x *natsExchange) Close() error {
	for _, conn := range slices.Concat(x.subs, x.pubs) {
		conn.Close()
	}
	x.server.Shutdown()
	x.server.WaitForShutdown()
	return nil
}
