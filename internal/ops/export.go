package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

// ErrSettings is wrapped by errors about the environment's OTEL_* variables.
var ErrSettings = errors.New("unusable OTEL_* variables")

// providers are where traces and metrics go.
type providers struct {
	traces   *trace.TracerProvider
	metrics  *metric.MeterProvider
	registry *prometheus.Registry // what /metrics shows
}

// newProviders makes the providers that the environment and opts ask for.
// Without any exporter there are traces all the same, so that the log can name
// them and messages carry them on.
func newProviders(ctx context.Context, opts Options) (*providers, error) {
	res, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(opts.Program), semconv.ServiceVersion(opts.Version), semconv.ServiceInstanceID(instance())),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("%w: OTEL_RESOURCE_ATTRIBUTES: %w", ErrSettings, err)
	}
	handleErrors()
	spans, metrics, err := exporters(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	traceOpts, metricOpts := []trace.TracerProviderOption{trace.WithResource(res)}, []metric.Option{metric.WithResource(res)}
	if spans != nil {
		traceOpts = append(traceOpts, trace.WithBatcher(spans))
	}
	if metrics != nil {
		metricOpts = append(metricOpts, metric.WithReader(metrics))
	}
	p := &providers{registry: prometheus.NewRegistry()}
	if opts.HTTP != "" {
		scraped, err := p.scraped()
		if err != nil {
			return nil, err
		}
		metricOpts = append(metricOpts, metric.WithReader(scraped))
	}
	p.traces, p.metrics = trace.NewTracerProvider(traceOpts...), metric.NewMeterProvider(metricOpts...)
	return p, nil
}

// instance tells the programs of one service apart, as the broker's pages do.
func instance() string {
	host, _ := os.Hostname() // "" will do
	return host + ":" + strconv.Itoa(os.Getpid())
}

// scraped is the reader behind /metrics, which also shows the Go runtime and the
// process.
func (p *providers) scraped() (metric.Reader, error) {
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return otelprometheus.New(otelprometheus.WithRegisterer(p.registry), otelprometheus.WithoutScopeInfo())
}

// exporters are what the OTEL_* variables ask for, nil for none. By the
// specification OTLP to localhost is the default; here nothing is, since most
// machines have nobody who listens there.
func exporters(ctx context.Context) (spans trace.SpanExporter, metrics metric.Reader, err error) {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return nil, nil, nil
	}
	if asked("TRACES") {
		if spans, err = autoexport.NewSpanExporter(ctx); err != nil {
			return nil, nil, fmt.Errorf("traces: %w", err)
		}
	}
	if asked("METRICS") {
		if metrics, err = autoexport.NewMetricReader(ctx); err != nil {
			return nil, nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return spans, metrics, nil
}

// asked says whether somebody wants a signal exported: by naming an exporter or
// where to.
func asked(signal string) bool {
	return cmp.Or(os.Getenv("OTEL_"+signal+"_EXPORTER"),
		os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// options are for otelmessaging.
func (p *providers) options() []otelmessaging.Option {
	return []otelmessaging.Option{otelmessaging.WithTracerProvider(p.traces), otelmessaging.WithMeterProvider(p.metrics)}
}

// shutdown exports what is left until ctx ends.
func (p *providers) shutdown(ctx context.Context) {
	var all sync.WaitGroup // so that one which does not answer takes no time from the other
	for _, shutdown := range []func(context.Context) error{p.traces.Shutdown, p.metrics.Shutdown} {
		all.Go(func() {
			if err := shutdown(ctx); err != nil {
				otel.Handle(err)
			}
		})
	}
	all.Wait()
}

// complaintInterval is how often is logged at most that exporting fails.
const complaintInterval = time.Hour

// complaints logs what goes wrong with exporting: the first at once, and then one
// line an hour with how many there were. Messages do not wait for exporters, and
// an exporter that does not answer must not fill the log either.
type complaints struct {
	mu     sync.Mutex
	logged time.Time // zero while nothing was
	others int       // since
}

// Handle implements [otel.ErrorHandler].
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.logged.IsZero() && time.Since(c.logged) < complaintInterval {
		c.others++
		return
	}
	slog.Warn("telemetry is not exported and dropped; messages are handled as ever", "error", err, "others", c.others)
	c.logged, c.others = time.Now(), 0
}

// handleErrors makes what OpenTelemetry says about itself part of the log.
func handleErrors() {
	otel.SetErrorHandler(&complaints{})
	otel.SetLogger(logr.FromSlogHandler(discreet{slog.Default().Handler()}))
}

// discreet leaves out what OpenTelemetry quotes of its variables: headers of
// exporters are passwords, and a misspelt one would be in the log.
type discreet struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h discreet) Handle(ctx context.Context, r slog.Record) error {
	told := slog.NewRecord(r.Time, r.Level, "OpenTelemetry: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "input" && a.Key != "value" && a.Key != "url" {
			told.AddAttrs(a)
		}
		return true
	})
	return h.Handler.Handle(ctx, told)
}

// WithAttrs implements [slog.Handler].
func (h discreet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return discreet{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h discreet) WithGroup(name string) slog.Handler { return discreet{h.Handler.WithGroup(name)} }
