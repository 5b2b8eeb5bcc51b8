package ops

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
)

// Handling is middleware for the handler of from: a span and metrics for each
// attempt, and a line in the log.
//
// Verdict: the handler's own; a panic is an error. Draining: no effect.
func (o *Ops) Handling(from messaging.Source) messaging.Middleware {
	return func(next messaging.Handler) messaging.Handler {
		return messaging.Chain(next, o.telemetry.Middleware(from), o.counting(from), middleware.Log(nil), middleware.Recover(nil))
	}
}

// counting counts what becomes of messages.
func (o *Ops) counting(from messaging.Source) messaging.Middleware {
	from = from.WithDefaults()
	queue := from.Address.Name()
	if from.Address.IsTopic() && from.Group != "" {
		queue = from.Queue().Name()
	}
	where := metric.WithAttributes(semconv.MessagingDestinationName(queue))
	c, begin := &o.counts, context.Background()
	c.unsettled.Add(begin, 0, where)
	c.retried.Add(begin, 0, where)
	c.deadLettered.Add(begin, 0, where)
	return func(next messaging.Handler) messaging.Handler {
		return func(ctx context.Context, d *messaging.Delivery) error {
			attempt := d.Attempt // the handler may change d
			c.unsettled.Add(ctx, 1, where)
			defer c.unsettled.Add(ctx, -1, where)
			err := next(ctx, d)
			switch settlement(ctx, from, attempt, err) {
			case messaging.Again:
				c.retried.Add(ctx, 1, where)
			case messaging.DeadLetter:
				c.deadLettered.Add(ctx, 1, where)
			}
			return err
		}
	}
}

// settlement is what the subscription does with a verdict.
func settlement(ctx context.Context, from messaging.Source, attempt int, err error) messaging.Action {
	switch {
	case from.AutoAck:
		return messaging.Acknowledge
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return messaging.Release // the shutdown timeout is over
	}
	return messaging.Decide(err, attempt, from.Retry).Action
}

// Publishing returns b with a span and metrics for each Publish, and a line in
// the log for each message.
func (o *Ops) Publishing(b messaging.Broker) messaging.Broker {
	return publishing{Broker: b, publisher: o.telemetry.Publisher(logging{b})}
}

// publishing is a Broker whose Publish is another one's.
type publishing struct {
	messaging.Broker
	publisher messaging.Publisher
}

// Publish implements [messaging.Publisher].
func (p publishing) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	return p.publisher.Publish(ctx, to, msgs...)
}

// logging is a Publisher that logs what became of each message.
type logging struct{ next messaging.Publisher }

// Publish implements [messaging.Publisher].
func (l logging) Publish(ctx context.Context, to messaging.Address, msgs ...*messaging.Message) error {
	err := l.next.Publish(ctx, to, msgs...)
	var failed *messaging.PublishError
	if err != nil && !errors.As(err, &failed) {
		return err // nothing of it was sent, and the caller says so
	}
	if log := slog.Default(); log.Enabled(ctx, slog.LevelInfo) || failed != nil {
		l.log(ctx, log, to, msgs, failed)
	}
	return err
}

func (l logging) log(ctx context.Context, log *slog.Logger, to messaging.Address, msgs []*messaging.Message, failed *messaging.PublishError) {
	errs := map[int]error{}
	if failed != nil {
		for _, f := range failed.Failed {
			errs[f.Index] = f.Err
		}
	}
	for i, m := range msgs {
		if err := errs[i]; err != nil {
			log.WarnContext(ctx, "message failed", "id", m.ID, "to", to, "error", err)
			continue
		}
		log.InfoContext(ctx, "sent message", "id", m.ID, "to", to)
	}
}
