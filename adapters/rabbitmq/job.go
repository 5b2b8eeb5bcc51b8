package rabbitmq

import (
	"log/slog"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// job is a received message on its way through a handler.
type job struct {
	delivery *messaging.Delivery // the handler's, who may change and keep it
	raw      amqp.Delivery       // as it came, without control headers
	control  control
	queue    string // where it was
	on       *consumer
}

// jobs are used again: they are larger than what a handler gets.
var jobs = sync.Pool{New: func() any { return new(job) }}

// done says that nobody uses the job any more.
func (j *job) done() {
	*j = job{}
	jobs.Put(j)
}

// Delivery implements [messaging.Job].
func (j *job) Delivery() *messaging.Delivery { return j.delivery }

// attempt is which one this is, counted from 1. The delivery has it as well,
// but may have been changed.
func (j *job) attempt() int { return j.control.failures + 1 }

func (j *job) decode(cfg *config, from messaging.Address) error {
	m, err := decode(cfg.marshaler, j.raw, &j.control)
	j.delivery = &messaging.Delivery{
		Message:     m,
		From:        from,
		Attempt:     j.attempt(),
		Redelivered: j.raw.Redelivered || j.control.failures > 0,
	}
	return err
}

// undecodable gives up a message that the Marshaler cannot read. It is moved
// as it came.
func (j *job) undecodable(log *slog.Logger, src messaging.Source, err error) {
	if src.AutoAck {
		log.Warn("dropping message that cannot be decoded", "id", j.raw.MessageId, "from", src.Address, "error", err, j.trace())
		j.Settle(messaging.Decision{Action: messaging.Acknowledge})
		return
	}
	log.Warn("dead-lettering message that cannot be decoded", "id", j.raw.MessageId, "from", src.Address,
		"to", src.Retry.DeadLetter, "error", err, j.trace())
	j.Settle(messaging.Decision{Action: messaging.DeadLetter, Reason: messaging.ReasonUndecodable, Err: err})
}

// trace is what a line of the log says of the message's trace, whether it can be
// decoded or not: the header of W3C Trace Context, if it has one.
func (j *job) trace() slog.Attr {
	const traceparent = "traceparent"
	if v, ok := j.raw.Headers[traceparent].(string); ok {
		return slog.String(traceparent, v)
	}
	return slog.Attr{}
}

// Settle implements [messaging.Job]. It does not wait for the broker, but with
// AutoAck for the connection to have taken the acknowledgement.
func (j *job) Settle(dec messaging.Decision) {
	c, tag := j.on, j.raw.DeliveryTag
	if dec.Action != messaging.Acknowledge && dec.Action != messaging.Release {
		c.s.moves.Go(func() {
			c.move(j, dec)
			j.done()
		})
		return
	}
	j.done()
	switch {
	case dec.Action == messaging.Release:
		c.acks.requeue(tag, false)
	case c.s.src.AutoAck:
		c.acks.ackNow(tag)
	default:
		c.acks.ack(tag)
	}
}
