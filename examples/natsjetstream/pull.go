package natsjetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pull is how messages come from a consumer: a request for so many, and as its
// answers the messages, or a status that says why no more will come.
//
// nats.go has this too, and decision 0013 says why it is not used here: it
// requests ahead, into a buffer where nobody renews the leases.
type pull struct {
	nc      *nats.Conn
	subject string             // of the requests
	answers *nats.Subscription // to an inbox of our own
	asked   int                // messages that may still come
}

func (b *Broker) newPull(p place) (*pull, error) {
	answers, err := b.nc.SubscribeSync(b.nc.NewInbox())
	if err != nil {
		return nil, err
	}
	err = answers.SetPendingLimits(-1, -1) // no more than was asked for can come
	return &pull{
		nc:      b.nc,
		subject: fmt.Sprintf("$JS.API.CONSUMER.MSG.NEXT.%s.%s", p.stream, p.consumer),
		answers: answers,
	}, err
}

// request is what JetStream is asked. Durations are in nanoseconds.
type request struct {
	Batch     int           `json:"batch"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

// How long a request stands, and how often JetStream says that it does.
const (
	pullExpiry    = 30 * time.Second
	pullHeartbeat = time.Second
)

// ask is for when everything has come that was asked for before.
func (p *pull) ask(r request) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.asked = r.Batch
	return p.nc.PublishRequest(p.subject, p.answers.Subject, data)
}

// errOver says that a request has got what it will get.
var errOver = errors.New("no more messages for this request")

// next waits for a message. On errOver, the next thing to do is to ask.
func (p *pull) next(ctx context.Context) (*nats.Msg, error) {
	for {
		m, err := p.wait(ctx)
		if err != nil {
			return nil, err
		}
		if m.Reply != "" { // where to acknowledge it
			p.asked--
			return m, nil
		}
		switch status := m.Header.Get("Status"); status {
		case "100": // a heartbeat
		case "408": // time is up
			return nil, errOver
		case "503":
			return nil, nats.ErrNoResponders
		default:
			return nil, fmt.Errorf("the consumer says %s %s", status, m.Header.Get("Description"))
		}
	}
}

func (p *pull) wait(ctx context.Context) (*nats.Msg, error) {
	limited, cancel := context.WithTimeout(ctx, 2*pullHeartbeat)
	defer cancel()
	m, err := p.answers.NextMsgWithContext(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil, jetstream.ErrNoHeartbeat
	}
	return m, err
}

// end ends the requests, and returns to the queue what was on its way.
func (p *pull) end() {
	if p.asked == 0 || p.nc.Status() != nats.CONNECTED { // then nothing is, or it is lost
		_ = p.answers.Unsubscribe()
		return
	}
	if p.answers.Drain() != nil { // lets in what was sent before the broker has heard of it
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout) // also when the Broker is closed
	defer cancel()
	for {
		m, err := p.answers.NextMsgWithContext(ctx)
		if err != nil {
			return
		}
		if m.Reply != "" {
			_ = m.Nak()
		}
	}
}
