package otelmessaging

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/warrenmq/warren/pkg/messaging"
)

// ScopeName is the instrumentation scope of every span and metric.
const ScopeName = "github.com/warrenmq/warren/pkg/messaging/otelmessaging"

// SchemaURL is the schema of every span and metric: that of the conventions'
// version 1.44.0.
const SchemaURL = "https://opentelemetry.io/schemas/1.44.0"

// buckets are those that the conventions ask for, in seconds.
var buckets = metric.WithExplicitBucketBoundaries(
	0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

// Telemetry is the tracing and the metrics of what goes through one broker.
type Telemetry struct {
	off         bool
	tracer      trace.Tracer
	propagator  propagation.TextMapPropagator
	parentChild bool
	broker      broker

	operations messagingconv.ClientOperationDuration
	sent       messagingconv.ClientSentMessages
	consumed   messagingconv.ClientConsumedMessages
	processing messagingconv.ProcessDuration
}

// Option changes a default of [New].
type Option func(*settings)

type settings struct {
	tracers     trace.TracerProvider
	meters      metric.MeterProvider
	propagator  propagation.TextMapPropagator
	parentChild bool
}

// WithTracerProvider is where spans go. Defaults to the global provider.
func WithTracerProvider(p trace.TracerProvider) Option { return func(s *settings) { s.tracers = p } }

// WithMeterProvider is where metrics go. Defaults to the global provider.
func WithMeterProvider(p metric.MeterProvider) Option { return func(s *settings) { s.meters = p } }

// WithPropagator is what writes and reads the headers of messages. Defaults to
// W3C trace context, whatever the global propagator is: services that share
// queues must agree on it.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(s *settings) { s.propagator = p }
}

// WithParentChild makes each process span a child of the context in its
// message, and not only a link to it: one trace for everything that became of a
// message. Defaults to links.
func WithParentChild() Option { return func(s *settings) { s.parentChild = true } }

// New returns the telemetry of the broker at brokerURL, whose scheme becomes
// messaging.system and whose first host server.address. The error is
// [messaging.ErrURL], or that of an instrument that could not be created.
func New(brokerURL string, opts ...Option) (*Telemetry, error) {
	s := settings{propagator: propagation.TraceContext{}}
	for _, opt := range opts {
		opt(&s)
	}
	if s.tracers == nil {
		s.tracers = otel.GetTracerProvider()
	}
	if s.meters == nil {
		s.meters = otel.GetMeterProvider()
	}
	b, err := parseBroker(brokerURL)
	if err != nil {
		return nil, fmt.Errorf("otelmessaging: %w", err)
	}
	_, noTraces := s.tracers.(tracenoop.TracerProvider)
	_, noMetrics := s.meters.(metricnoop.MeterProvider)
	t := &Telemetry{
		off:         noTraces && noMetrics,
		tracer:      s.tracers.Tracer(ScopeName, trace.WithSchemaURL(SchemaURL)),
		propagator:  s.propagator,
		parentChild: s.parentChild,
		broker:      b,
	}
	if err := t.createInstruments(s.meters.Meter(ScopeName, metric.WithSchemaURL(SchemaURL))); err != nil {
		return nil, fmt.Errorf("otelmessaging: create instruments: %w", err)
	}
	return t, nil
}

func (t *Telemetry) createInstruments(m metric.Meter) error {
	var errs [4]error
	t.operations, errs[0] = messagingconv.NewClientOperationDuration(m, buckets)
	t.sent, errs[1] = messagingconv.NewClientSentMessages(m)
	t.consumed, errs[2] = messagingconv.NewClientConsumedMessages(m)
	t.processing, errs[3] = messagingconv.NewProcessDuration(m, buckets)
	return errors.Join(errs[:]...)
}

// Publisher returns p with a send span around each call, and the context of that
// span in each message that has none of its own. The caller's messages get their
// ID and Time as ever, and no header.
func (t *Telemetry) Publisher(p messaging.Publisher) messaging.Publisher {
	if t.off {
		return p
	}
	return &publisher{telemetry: t, next: p}
}
