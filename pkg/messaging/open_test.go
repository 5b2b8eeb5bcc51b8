package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging"
)

var schemes atomic.Int64

// newScheme returns one that nobody has registered: there is no way back from
// Register, and tests may run more than once.
func newScheme() string { return fmt.Sprintf("scheme%d", schemes.Add(1)) }

func TestOpenGivesTheAdapterItsURL(t *testing.T) {
	var got *url.URL
	stop := errors.New("stop here")
	scheme := newScheme()
	messaging.Register(scheme, func(_ context.Context, u *url.URL) (messaging.Broker, error) { got = u; return nil, stop })
	for raw, want := range map[string][4]string{ // host, user, password, path and query
		"test://":                           {"", "", "", ""},
		"test://h":                          {"h", "", "", ""},
		"test://u:p@h1:1,h2:2/v?a=b":        {"h1:1,h2:2", "u", "p", "/v?a=b"},
		"test://u:p%40%2F@h1,h2/%2F":        {"h1,h2", "u", "p@/", "/%2F"},
		"test://u:p@[::1]:5672,127.0.0.1/v": {"[::1]:5672,127.0.0.1", "u", "p", "/v"},
		"test://u:p@h?x=1":                  {"h", "u", "p", "?x=1"},
	} {
		if _, err := messaging.Open(t.Context(), strings.Replace(raw, "test", scheme, 1)); !errors.Is(err, stop) {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		password, _ := got.User.Password()
		tail := got.EscapedPath()
		if got.RawQuery != "" {
			tail += "?" + got.RawQuery
		}
		if have := [4]string{got.Host, got.User.Username(), password, tail}; have != want {
			t.Errorf("%s: %q, want %q", raw, have, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                "must look like",
		"localhost:5672":                  "must look like",
		"://x":                            "must look like",
		"nosuch://user:s3cret@h/":         "no adapter for nosuch://",
		"test2://user:s3cret@h:notaport/": "cannot be parsed",
		"test2://user:s3c/ret@h/":         "cannot be parsed",
		"test2://user:s3cret%zz@h/":       "cannot be parsed",
		"test2://user:s3cret@h1,,h2/":     "cannot be parsed",
		"test2://user:s3cr et@h/":         "cannot be parsed",
		"test2://user:s3c?ret@h/":         "cannot be parsed",
		"te st://user:s3cret@h/":          "cannot be parsed",
		"s3cret stuff://h":                "cannot be parsed",
	} {
		_, err := messaging.Open(t.Context(), raw)
		if !errors.Is(err, messaging.ErrURL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an error with %q", raw, err, want)
			continue
		}
		if want == "cannot be parsed" && !strings.Contains(err.Error(), `percent-encoded (% is %25, / is %2F, ? is %3F, # is %23, @ is %40, : is %3A, a space is %20)`) {
			t.Errorf("%q: the error does not say what to do: %v", raw, err)
		}
		if strings.Contains(err.Error(), "s3c") {
			t.Errorf("%q: the error shows the password: %v", raw, err)
		}
	}
}

func TestRegisterTwicePanics(t *testing.T) {
	open := func(context.Context, *url.URL) (messaging.Broker, error) { return nil, errors.New("unused") }
	scheme := newScheme()
	messaging.Register(scheme, open)
	for _, f := range []func(){func() { messaging.Register(scheme, open) }, func() { messaging.Register("nil", nil) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			f()
		}()
	}
}

func TestPublishError(t *testing.T) {
	e := &messaging.PublishError{To: messaging.Queue("q"), Failed: []messaging.MessageError{
		{Index: 1, ID: "a", Err: messaging.ErrUnroutable}, {Index: 3, ID: "b", Err: messaging.ErrRejected}}}
	var err error = e
	if !errors.Is(err, messaging.ErrUnroutable) || !errors.Is(err, messaging.ErrRejected) || errors.Is(err, messaging.ErrBlocked) {
		t.Error("errors.Is does not see the failed messages")
	}
	want := "publish to queue:q: 2 messages failed: message 1 (a): unroutable: no such queue; message 3 (b): refused by the broker"
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	for range 5 {
		e.Failed = append(e.Failed, e.Failed[0])
	}
	if !strings.HasSuffix(err.Error(), "; and 4 more") {
		t.Errorf("%q", err)
	}
}

func TestParseURLKeepsAllHosts(t *testing.T) {
	u, err := messaging.ParseURL("amqp://u:p@h1:1,h2/v%2F?a=b")
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "amqp" || u.Host != "h1:1,h2" || u.EscapedPath() != "/v%2F" || u.RawQuery != "a=b" {
		t.Errorf("%+v", u)
	}
}
