package ops

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/pkg/messaging"
)

func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			_ = os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

const url = "memory://"

// rig is a program with a broker in memory.
type rig struct {
	*Ops
	broker *memory.Broker
	drain  context.CancelFunc
	log    clitest.Screen
}

// start starts a program and attaches its broker.
func start(t *testing.T, opts Options) *rig {
	t.Helper()
	r := begin(t, opts)
	if err := r.Attach(r.broker, url); err != nil {
		t.Fatal(err)
	}
	return r
}

// begin starts a program that has no broker yet.
func begin(t *testing.T, opts Options) *rig {
	t.Helper()
	r := &rig{broker: memory.New()}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&r.log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	var ctx context.Context
	ctx, r.drain = context.WithCancel(t.Context())
	opts.Program, opts.Version = "test", "v1"
	var err error
	if r.Ops, err = Start(ctx, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.broker.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return r
}

// get asks the server.
func (r *rig) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	answer, err := http.Get("http://" + r.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// metrics returns what /metrics shows, by name and labels.
func (r *rig) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	status, body := r.get(t, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	all := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		line := lines.Text()
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			value, err := strconv.ParseFloat(line[i+1:], 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			all[line[:i]] = value
		}
	}
	return all
}

// wantMetrics compares some of what /metrics shows.
func (r *rig) wantMetrics(t *testing.T, want map[string]float64) {
	t.Helper()
	all := r.metrics(t)
	for name, value := range want {
		if got, there := all[name]; !there || got != value {
			t.Errorf("%s is %v (there: %t), want %v", name, got, there, value)
		}
	}
	if t.Failed() {
		for name := range all {
			if !strings.HasPrefix(name, "go_") && !strings.Contains(name, "_bucket") {
				t.Logf("%s %v", name, all[name])
			}
		}
	}
}

// subscribe handles what is in a queue in the way of the program, until stop,
// which waits for the end. It returns once the subscription is active.
func (r *rig) subscribe(t *testing.T, src messaging.Source, h messaging.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	src.Ready = func() {
		select {
		case <-ready: // after a reconnection
		default:
			close(ready)
		}
	}
	go func() { ended <- r.broker.Subscribe(ctx, src, r.Handling(src)(h)) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(clitest.Timeout)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
