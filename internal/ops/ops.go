package ops

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/otelmessaging"
)

// Options say what a program shows.
type Options struct {
	// Program and Version are the program's. They become the resource's
	// service.name and service.version.
	Program, Version string
	// HTTP is the address of the server, see [Address]. Defaults to none.
	HTTP string
	// Subscribes is whether the program is ready only while it is subscribed.
	// Defaults to false.
	Subscribes bool
}

// Ops is a program's side that its operator sees.
type Ops struct {
	opts      Options
	providers *providers
	server    *server // nil without Options.HTTP
	counts    counts

	draining <-chan struct{}
	broker   atomic.Pointer[messaging.Broker] // nil until Attach
	watching sync.WaitGroup
	stop     context.CancelFunc // ends the watching

	telemetry *otelmessaging.Telemetry // set by Attach
}

// Start begins to serve and to export. When ctx ends, the program is draining:
// it is ready no more. Whoever starts it closes it.
//
// An error is about an address that cannot be listened on, or, wrapping
// [ErrSettings], about the environment's OTEL_* variables.
func Start(ctx context.Context, opts Options) (*Ops, error) {
	o := &Ops{opts: opts, draining: ctx.Done()}
	if opts.HTTP != "" {
		var err error
		if o.server, err = listen(opts.HTTP); err != nil {
			return nil, err
		}
	}
	var err error
	if o.providers, err = newProviders(ctx, opts); err != nil {
		o.server.close(ctx)
		return nil, err
	}
	if o.counts, err = newCounts(o.providers.meter(), o.health); err != nil {
		return nil, errors.Join(fmt.Errorf("create instruments: %w", err), o.Close(ctx))
	}
	o.server.serve(o)
	return o, nil
}

// Addr is where the server listens, "" without one.
func (o *Ops) Addr() string {
	if o.server == nil {
		return ""
	}
	return o.server.listener.Addr().String()
}

// Attach says which broker the program uses, and the URL that it was opened
// with. It is called once, before Publishing and Handling.
func (o *Ops) Attach(b messaging.Broker, url string) error {
	opts := append(o.providers.options(), otelmessaging.WithParentChild())
	var err error
	if o.telemetry, err = otelmessaging.New(url, opts...); err != nil {
		return err
	}
	o.broker.Store(&b)
	var ctx context.Context
	ctx, o.stop = context.WithCancel(context.Background())
	o.watching.Go(func() { o.countReconnects(ctx, b) })
	return nil
}

// countReconnects counts how often the broker's connection came back. A
// connection that a broker opens when it first needs it is no reconnection:
// nothing was lost, and so there is no new error.
func (o *Ops) countReconnects(ctx context.Context, b messaging.Broker) {
	var last messaging.Health // when it was connected
	for h := range messaging.Watch(ctx, b) {
		if h.State != messaging.Connected {
			continue
		}
		if !last.Since.IsZero() && !h.Since.Equal(last.Since) && !errors.Is(h.LastError, last.LastError) {
			o.counts.reconnects.Add(ctx, 1)
		}
		last = h
	}
}

// health is that of the broker, nil while there is none.
func (o *Ops) health() *messaging.Health {
	b := o.broker.Load()
	if b == nil {
		return nil
	}
	h := (*b).Health()
	return &h
}

// exportTimeout is how long what is left to export may take in the end.
const exportTimeout = 3 * time.Second

// Close exports what is left, in three seconds at most, and ends the server.
// What could not be exported is logged and no error. It is called after the
// broker was closed.
func (o *Ops) Close(ctx context.Context) error {
	if o.stop != nil {
		o.stop()
	}
	o.watching.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportTimeout)
	defer cancel()
	o.providers.shutdown(ctx)
	return o.server.close(ctx)
}

// meter is what the program's own instruments are made with.
func (p *providers) meter() metric.Meter { return p.metrics.Meter(scopeName) }
