package ops

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/warrenmq/warren/pkg/messaging"
)

// scopeName is the instrumentation scope of what is counted here.
const scopeName = "github.com/warrenmq/warren/internal/ops"

// counts are the metrics that OpenTelemetry's conventions do not have.
type counts struct {
	reconnects   metric.Int64Counter
	unsettled    metric.Int64UpDownCounter
	retried      metric.Int64Counter
	deadLettered metric.Int64Counter
}

// newCounts creates the instruments, and those that observe the connection's
// health, which is nil while there is none.
func newCounts(m metric.Meter, health func() *messaging.Health) (counts, error) {
	var c counts
	var errs [5]error
	c.reconnects, errs[0] = m.Int64Counter("warren.connection.reconnects",
		metric.WithDescription("How often the connection to the broker was lost and came back."))
	c.unsettled, errs[1] = m.Int64UpDownCounter("warren.messages.unsettled", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that handlers are working on."))
	c.retried, errs[2] = m.Int64Counter("warren.messages.retried", metric.WithUnit("{message}"),
		metric.WithDescription("Failed attempts after which a message waits for another."))
	c.deadLettered, errs[3] = m.Int64Counter("warren.messages.dead_lettered", metric.WithUnit("{message}"),
		metric.WithDescription("Messages whose handler gave them up, after the last attempt or at once."))
	errs[4] = observe(m, health)
	if err := errors.Join(errs[:]...); err != nil {
		return counts{}, err
	}
	c.reconnects.Add(context.Background(), 0) // what has never happened is 0, so that the first time is a rise
	return c, nil
}

// observe creates the instruments that ask for the connection's health.
func observe(m metric.Meter, health func() *messaging.Health) error {
	var errs [4]error
	state, err := m.Int64ObservableGauge("warren.connection.state",
		metric.WithDescription("1 for the state that the connection to the broker is in, 0 for the others."))
	errs[0] = err
	blocked, err := m.Int64ObservableGauge("warren.connection.blocked",
		metric.WithDescription("1 while the broker accepts no messages."))
	errs[1] = err
	subscriptions, err := m.Int64ObservableGauge("warren.subscriptions.active", metric.WithUnit("{subscription}"),
		metric.WithDescription("Subscriptions that are active at the broker."))
	errs[2] = err
	_, errs[3] = m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		h := health()
		if h == nil {
			h = &messaging.Health{} // connecting
		}
		for _, s := range [...]messaging.State{messaging.Connecting, messaging.Connected, messaging.Closed} {
			to.ObserveInt64(state, number(s == h.State), metric.WithAttributes(attribute.String("state", s.String())))
		}
		to.ObserveInt64(blocked, number(h.Blocked))
		to.ObserveInt64(subscriptions, int64(h.Subscriptions))
		return nil
	}, state, blocked, subscriptions)
	return errors.Join(errs[:]...)
}

func number(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
