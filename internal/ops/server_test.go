package ops

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"8080":           "127.0.0.1:8080",
		":8080":          "127.0.0.1:8080",
		"0":              "127.0.0.1:0",
		"127.0.0.1:8080": "127.0.0.1:8080",
		"localhost:8080": "localhost:8080",
		"0.0.0.0:8080":   "0.0.0.0:8080",
		"[::]:8080":      "[::]:8080",
		"":               "",
		"localhost":      "",
		"localhost:http": "",
		":65536":         "",
		"-1":             "",
		"::8080":         "",
		"a:b:1":          "",
	} {
		got, err := Address(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q and %v, want %q", text, got, err, want)
		}
	}
}

func TestReadiness(t *testing.T) {
	r := begin(t, Options{HTTP: "127.0.0.1:0", Subscribes: true})
	want := func(ready bool, says string) {
		t.Helper()
		status, body := r.get(t, "/readyz")
		if ready != (status == http.StatusOK) || !ready && status != http.StatusServiceUnavailable || !strings.Contains(body, says) {
			t.Errorf("/readyz: %d %q, want ready: %t, %q", status, body, ready, says)
		}
		if status, body := r.get(t, "/healthz"); status != http.StatusOK || body != "alive\n" {
			t.Errorf("/healthz: %d %q", status, body)
		}
	}
	want(false, "not ready: not connected yet\n")
	if err := r.Attach(r.broker, url); err != nil {
		t.Fatal(err)
	}
	want(false, "not subscribed")
	stop := r.subscribe(t, messaging.Source{Address: messaging.Queue("q")}, func(context.Context, *messaging.Delivery) error { return nil })
	want(true, "ready\n")
	r.broker.Block("low on memory")
	want(false, "blocked: low on memory")
	r.broker.Unblock()
	want(true, "ready\n")
	r.broker.Disconnect()
	want(false, "not ready: connecting since")
	r.broker.Reconnect()
	eventually(t, "it is ready again", func() bool { status, _ := r.get(t, "/readyz"); return status == http.StatusOK })
	r.drain()
	want(false, "not ready: draining\n")
	stop()
}

// A producer has no subscription to wait for.
func TestReadinessOfAProducer(t *testing.T) {
	r := start(t, Options{HTTP: "127.0.0.1:0"})
	if status, body := r.get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

func TestNothingElseIsServed(t *testing.T) {
	r := start(t, Options{HTTP: "127.0.0.1:0"})
	for _, path := range []string{"/", "/debug/pprof/", "/readyz/x"} {
		if status, _ := r.get(t, path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	answer, err := http.Post("http://"+r.Addr()+"/readyz", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", answer.StatusCode)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	if _, err := Start(t.Context(), Options{HTTP: addr}); err == nil ||
		!strings.Contains(err.Error(), "--http "+addr) || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error is %v", err)
	}
}
