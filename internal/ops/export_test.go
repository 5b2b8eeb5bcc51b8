package ops

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// collector is an OTLP receiver that keeps what it gets, by path.
type collector struct {
	*httptest.Server
	mu  sync.Mutex
	got map[string]string
}

func newCollector(t *testing.T) *collector {
	c := &collector{got: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[request.URL.Path] += string(body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) text(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[path]
}

// exchange sends a message and handles it.
func (r *rig) exchange(t *testing.T, times int) {
	t.Helper()
	ctx := clitest.Context(t)
	q := messaging.Queue("q")
	if err := r.broker.Declare(ctx, messaging.QueueSpec{Name: "q"}); err != nil {
		t.Fatal(err)
	}
	handled := make(chan struct{}, times)
	stop := r.subscribe(t, messaging.Source{Address: q}, func(context.Context, *messaging.Delivery) error {
		handled <- struct{}{}
		return nil
	})
	defer stop()
	for range times {
		if err := r.Publishing(r.broker).Publish(ctx, q, &messaging.Message{}); err != nil {
			t.Fatal(err)
		}
		<-handled
	}
}

func TestExport(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
	r := start(t, Options{})
	r.exchange(t, 1)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// In Protocol Buffers, text is as it is.
	for path, texts := range map[string][]string{
		"/v1/traces":  {"send q", "process q", "ack q", "service.name", "test", "staging"},
		"/v1/metrics": {"messaging.client.sent.messages", "messaging.process.duration", "warren.messages.unsettled", "warren.connection.state"},
	} {
		for _, text := range texts {
			if !strings.Contains(c.text(path), text) {
				t.Errorf("%s did not get %q", path, text)
			}
		}
	}
}

func TestNothingIsExportedUnlessAsked(t *testing.T) {
	for _, env := range []map[string]string{
		{},
		{"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
	} {
		for name, value := range env {
			t.Setenv(name, value)
		}
		if spans, metrics, err := exporters(t.Context()); spans != nil || metrics != nil || err != nil {
			t.Errorf("%v: %v, %v, %v", env, spans, metrics, err)
		}
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for _, test := range []struct{ name, value, says string }{
		{"OTEL_TRACES_EXPORTER", "nonsense", "traces: unknown exporter"},
		{"OTEL_METRICS_EXPORTER", "nonsense", "metrics: unknown exporter"},
		{"OTEL_RESOURCE_ATTRIBUTES", "nonsense", "OTEL_RESOURCE_ATTRIBUTES: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(test.name, test.value)
			_, err := Start(t.Context(), Options{HTTP: "127.0.0.1:0"})
			if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v, want %q", err, test.says)
			}
		})
	}
}

// The headers of exporters are passwords, also where they are misspelt.
func TestTheLogShowsNoHeaderOfExporters(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", newCollector(t).URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")
	r := start(t, Options{})
	if text := r.log.String(); !strings.Contains(text, "OpenTelemetry: parse headers") || strings.Contains(text, "s3cret") {
		t.Errorf("the log is %q", text)
	}
}

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			all = append(all, c)
		}
		for _, c := range all {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return "http://" + l.Addr().String()
}

// An exporter that does not answer, or is not there, costs spans and one line in
// the log, and no message.
func TestExporterThatDoesNotAnswer(t *testing.T) {
	for name, endpoint := range map[string]func(*testing.T) string{
		"silent":    silent,
		"not there": func(*testing.T) string { return "http://127.0.0.1:1" },
		"not a URL": func(*testing.T) string { return "://" },
		"over gRPC": func(t *testing.T) string { t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"); return silent(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(t))
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "20") // ms
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
			t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
			t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "50")
			t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "5")
			t.Setenv("OTEL_METRIC_EXPORT_TIMEOUT", "50")
			r := start(t, Options{})
			r.exchange(t, 200) // more than may wait to be exported
			r.log.Await(t, "telemetry is not exported", 1)
			if err := r.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if n := strings.Count(r.log.String(), "telemetry is not exported"); n != 1 {
				t.Errorf("%d lines about it, want 1", n)
			}
		})
	}
}

func TestComplaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, Options{})
		var c complaints
		for range 100 {
			c.Handle(errors.New("no answer"))
		}
		time.Sleep(complaintInterval)
		c.Handle(errors.New("still none"))
		lines := r.log.Lines()
		if len(lines) != 2 || !strings.Contains(lines[0], `error="no answer" others=0`) || !strings.Contains(lines[1], `error="still none" others=99`) {
			t.Errorf("the log is %q", lines)
		}
	})
}

// Who imports the library gets neither OpenTelemetry's SDK nor Prometheus.
func TestTheLibraryDoesNotImportExporters(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "github.com/warrenmq/warren/pkg/...", "github.com/warrenmq/warren/adapters/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.Lines(string(out)) {
		for _, no := range []string{"github.com/prometheus/", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters/",
			"go.opentelemetry.io/contrib/", "google.golang.org/grpc", "github.com/warrenmq/warren/internal/ops"} {
			if strings.HasPrefix(pkg, no) {
				t.Errorf("the library imports %s", pkg)
			}
		}
	}
}
