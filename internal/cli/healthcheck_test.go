package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	urfave "github.com/urfave/cli/v3"
)

func TestHealthcheck(t *testing.T) {
	t.Setenv("http_proxy", "http://127.0.0.1:1") // is not asked
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			_, _ = w.Write([]byte("ready\n"))
		case "/moved":
			http.Redirect(w, r, "/not", http.StatusFound)
		default:
			http.Error(w, "not connected", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, test := range []struct {
		url    string
		status int
		says   string
	}{
		{server.URL + "/readyz", StatusOK, ""},
		{server.URL + "/not", StatusFailed, "/not: 503 Service Unavailable: not connected\n"},
		{server.URL + "/moved", StatusFailed, "503 Service Unavailable"},
		{gone.URL, StatusFailed, "refused"},
		{"", StatusUsage, "for flag --healthcheck: must be a URL"},
		{"127.0.0.1:8080/readyz", StatusUsage, "for flag --healthcheck: must be a URL"},
		{"ftp://127.0.0.1/", StatusUsage, "for flag --healthcheck: must be a URL"},
	} {
		cmd, _, stderr := program(func(context.Context, *urfave.Command) error {
			t.Errorf("%q: the program did its work too", test.url)
			return nil
		})
		cmd.Flags = append(cmd.Flags, HealthcheckFlag())
		if status := run(t.Context(), cmd, []string{"program", "--healthcheck", test.url}); status != test.status {
			t.Errorf("%q: status is %d, want %d: %s", test.url, status, test.status, stderr)
		}
		if !strings.Contains(stderr.String(), test.says) {
			t.Errorf("%q: standard error is %q, want it to contain %q", test.url, stderr, test.says)
		}
	}
}
