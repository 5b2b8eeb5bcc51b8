package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/warrenmq/warren/pkg/messaging"
)

// The limits of a server that nobody but a prober and a scraper should talk to.
const (
	requestTimeout = 10 * time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 8 << 10
)

// server serves /healthz, /readyz and /metrics.
type server struct {
	listener net.Listener
	http     *http.Server
	done     chan struct{} // closed when serving has ended; nil before it began
}

func listen(addr string) (*server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--http %s: %w", addr, err)
	}
	return &server{listener: l}, nil
}

func (s *server) serve(o *Ops) {
	if s == nil {
		return
	}
	s.http = &http.Server{
		Handler:           o.handler(),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		_ = s.http.Serve(s.listener) // until close: a listener of one's own does not fail
	}()
}

// close answers what was asked, and ends.
func (s *server) close(ctx context.Context) error {
	switch {
	case s == nil:
		return nil
	case s.http == nil:
		return s.listener.Close()
	}
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // somebody reads slowly
		err = s.http.Close()
	}
	<-s.done
	return err
}

func (o *Ops) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := o.unready(); reason != "" {
			answer(w, http.StatusServiceUnavailable, "not ready: "+reason)
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.providers.registry, promhttp.HandlerOpts{}))
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // who asked has gone
}

// unready says why the program is not ready, "" when it is.
func (o *Ops) unready() string {
	select {
	case <-o.draining:
		return "draining"
	default:
	}
	h := o.health()
	switch {
	case h == nil:
		return "not connected yet"
	case h.State != messaging.Connected, h.Blocked:
		return h.String()
	case o.opts.Subscribes && h.Subscriptions == 0:
		return "not subscribed: " + h.String()
	}
	return ""
}
