package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// noPassword fails the test where err shows the password of the test's URLs.
func noPassword(t *testing.T, err error) {
	t.Helper()
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "s3c") {
		t.Errorf("the error shows the password: %v", err)
	}
}

// TestOpenBadURL: what is wrong with a URL is said, with what to write
// instead, before anything is dialled.
func TestOpenBadURL(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"amqp://u:s3cret@h?colour=red", `unknown parameter "colour"; known are cacertfile, certfile, connect_timeout, connection_name, heartbeat, keyfile, max_message_size, publish_timeout, queue_type, reject_timeout`},
		{"amqp://u:s3cret@h?heartbeat=fast", `parameter heartbeat is "fast"; it must be a duration from 1s to 10m0s, for example 10s`},
		{"amqp://u:s3cret@h?heartbeat=0", `parameter heartbeat is "0"; it must be a duration from 1s`},
		{"amqp://u:s3cret@h?heartbeat=-5s", `parameter heartbeat is "-5s"`},
		{"amqp://u:s3cret@h?heartbeat=5s&heartbeat=6s", `parameter heartbeat is given 2 times`},
		{"amqp://u:s3cret@h?queue_type=stream", `parameter queue_type is "stream"; it must be quorum or classic`},
		{"amqp://u:s3cret@h?connection_name=", `parameter connection_name is ""; it must be a name of 1 to 200 bytes`},
		{"amqp://u:s3cret@h?connect_timeout=1y", `parameter connect_timeout is "1y"`},
		{"amqp://u:s3cret@h?publish_timeout=", `parameter publish_timeout is ""`},
		{"amqp://u:s3cret@h?reject_timeout=1.5.5s", `parameter reject_timeout is "1.5.5s"`},
		{"amqp://u:s3cret@h?max_message_size=1TB", `parameter max_message_size is "1TB"; it must be a number of bytes, which may end in KiB or MiB`},
		{"amqp://u:s3cret@h?max_message_size=0", `parameter max_message_size is "0"`},
		{"amqp://u:s3cret@h?max_message_size=1024MiB", `parameter max_message_size is "1024MiB"`},
		{"amqp://u:s3cret@h?x=%zz", "parameters after ? are not percent-encoded"},
		{"amqp://u:s3cret@h/a/b", `the virtual host "a/b" has a slash; write it as %2F`},
		{"amqp://u:s3cret@h/v#frag", "the URL has a fragment"},
		{"amqp://u:s3c?ret@h/v", "cannot be parsed"},
		{"amqp://u:s3c#ret@h/v", "cannot be parsed"},
		{"amqp://u:12?s3cret@h/v", "there is an @ behind the host"},
		{"amqp://u:12#s3cret@h/v", "there is an @ behind the host"},
		{"amqp://u:12/s3cret@h/v", "there is an @ behind the host"},
		{"amqp://u:s3c/ret@h/v", "cannot be parsed"},
		{"amqp://u:s3cret@h:port/v", "cannot be parsed"},
		{"amqp://u:s3cret@h1,:5672/v", `a host is empty in "h1,:5672"`},
		{"amqp://u:s3cret@:5672/v", `a host is empty in ":5672"`},
		{"amqp://u:s3cret@h:99999/v", `the port of "h:99999" is not between 1 and 65535`},
		{"amqp://u:s3cret@h1,h2:0/v", `the port of "h2:0" is not between 1 and 65535`},
		{"amqp://u:s3cret@h:99999999999999999999/v", `the port of "h:99999999999999999999" is not`},
		{"http://u:s3cret@h/", `the scheme is "http"; write amqp:// or amqps://`},
		{"amqp://u:s3cret@h?certfile=/x", "write amqps://"},
		{"amqps://u:s3cret@h?certfile=/x", "certfile and keyfile belong together"},
		{"amqps://u:s3cret@h?cacertfile=/does/not/exist", "cacertfile: open /does/not/exist"},
		{"amqps://u:s3cret@h?cacertfile=open_test.go", "cacertfile: open_test.go has no certificate in PEM form"},
		{"amqps://u:s3cret@h?certfile=open_test.go&keyfile=open_test.go", "certfile and keyfile: "},
		{"u:s3cret@h", "must look like"},
	} {
		_, err := Open(t.Context(), c.url)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n\t%v\nwant\n\t%s", c.url, err, c.want)
		}
		noPassword(t, err)
	}
}

func TestParseConfig(t *testing.T) {
	for _, c := range []struct {
		url  string
		want config
	}{
		{"amqp://", config{hosts: []string{"localhost:5672"}, password: "guest"}},
		{"amqp://h", config{hosts: []string{"h:5672"}, password: "guest"}},
		{"amqp://h/", config{hosts: []string{"h:5672"}, password: "guest"}},
		{"amqp://u:p%40%2F@h1,h2:1,[::1],[::2]:3/v%2Fw", config{hosts: []string{"h1:5672", "h2:1", "[::1]:5672", "[::2]:3"},
			user: "u", password: "p@/", vhost: "v/w"}},
		{"amqps://u:p@h/%2F", config{hosts: []string{"h:5671"}, user: "u", password: "p", vhost: "/", secure: true}},
		{"amqp://u@h", config{hosts: []string{"h:5672"}, user: "u"}},
		{"amqp://u:p@h?heartbeat=20&connect_timeout=1m&publish_timeout=3s&reject_timeout=500ms&max_message_size=2MiB&queue_type=classic&connection_name=me",
			config{hosts: []string{"h:5672"}, user: "u", password: "p", heartbeat: 20 * time.Second, connectTimeout: time.Minute,
				publishTimeout: 3 * time.Second, rejectTimeout: 500 * time.Millisecond, maxMessageSize: 2 << 20,
				queueType: "classic", name: "me"}},
		{"amqps://u:p@h?cacertfile=a&certfile=b&keyfile=c", config{hosts: []string{"h:5671"}, user: "u", password: "p", secure: true,
			files: tlsFiles{ca: "a", cert: "b", key: "c"}}},
	} {
		u, err := messaging.ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseConfig(u)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want); g != w {
			t.Errorf("%s:\n\t%s\nwant\n\t%s", c.url, g, w)
		}
	}
}

// at returns the URL of the shared node with something else in it.
func at(t *testing.T, change func(u *url.URL)) string {
	u, err := url.Parse(rabbitmqtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

func TestOpenIsRefusedAtOnce(t *testing.T) {
	other := answers(t, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
	for name, c := range map[string]struct {
		url  string
		want string
	}{
		"wrong password": {at(t, func(u *url.URL) { u.User = url.UserPassword("guest", "s3cret") }), "access refused"},
		"wrong user":     {at(t, func(u *url.URL) { u.User = url.UserPassword("nobody", "s3cret") }), "access refused"},
		"missing vhost":  {at(t, func(u *url.URL) { u.Path = "/nosuch" }), "check that the virtual host exists"},
		"no TLS there":   {at(t, func(u *url.URL) { u.Scheme = "amqps" }), "check the certificates, and that the port is the one for TLS"},
		"not AMQP":       {"amqp://u:s3cret@" + other, "does not speak AMQP 0-9-1"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Open(t.Context(), c.url)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			u, _ := url.Parse(c.url)
			if err != nil && !strings.Contains(err.Error(), u.Host) {
				t.Errorf("the error does not name %s: %v", u.Host, err)
			}
			noPassword(t, err)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestOpenRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	start := time.Now()
	_, err = Open(t.Context(), "amqp://u:s3cret@"+addr+"?connect_timeout=300ms")
	for _, want := range []string{addr, "connection refused; is RabbitMQ running there?", "gave up after 300ms (connect_timeout)"} {
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	noPassword(t, err)
	if took := time.Since(start); took < 250*time.Millisecond || took > 2*time.Second {
		t.Errorf("took %s, not the connect_timeout", took)
	}

	_, err = Open(t.Context(), "amqp://u:s3cret@nosuch.invalid?connect_timeout=300ms")
	if err == nil || !strings.Contains(err.Error(), "nosuch.invalid:5672") || !strings.Contains(err.Error(), "is the host's name right?") {
		t.Errorf("an unknown host: %v", err)
	}
	noPassword(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "amqp://u:s3cret@"+addr); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled ctx: %v", err)
	}
}

// answers starts a server that says hello to everyone and then nothing, and
// returns its address.
func answers(t *testing.T, hello string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var conns []net.Conn
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			_, _ = c.Write([]byte(hello))
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// TestOpenSilentPeer: somebody takes the connection and never answers.
func TestOpenSilentPeer(t *testing.T) {
	start := time.Now()
	_, err := Open(t.Context(), "amqp://u:s3cret@"+answers(t, "")+"?connect_timeout=300ms")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time; is RabbitMQ running there") {
		t.Error(err)
	}
	noPassword(t, err)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestOpenTriesEachHost: the first host refuses, the second is silent, the
// third speaks something else, and the fourth answers.
func TestOpenTriesEachHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	hosts := l.Addr().String() + "," + answers(t, "") + "," + answers(t, "HTTP/1.1 400 Bad Request\r\n\r\n") + ","
	b, err := Open(t.Context(), at(t, func(u *url.URL) { u.Host = hosts + u.Host; u.RawQuery = "connect_timeout=2s" }))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOpenNamesEachHost: no host will do, which is an error at once only where
// each of them will do no better the next time.
func TestOpenNamesEachHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	other, away := answers(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), l.Addr().String()
	ours, err := url.Parse(rabbitmqtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	const odd, gone, novhost = "does not speak AMQP 0-9-1", "connection refused", "check that the virtual host exists"
	for name, c := range map[string]struct {
		hosts  []string
		wants  []string
		atOnce bool
	}{
		"none ever":    {[]string{other, other}, []string{odd, odd}, true},
		"another kind": {[]string{other, host(t)}, []string{odd, novhost}, true},
		"one away":     {[]string{other, away}, []string{odd, gone}, false},
		"other order":  {[]string{away, other}, []string{gone, odd}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), "amqp://"+ours.User.String()+"@"+strings.Join(c.hosts, ",")+"/nosuch?connect_timeout=1s")
			if err == nil {
				t.Fatal("it opened")
			}
			if gaveUp := errors.Is(err, context.DeadlineExceeded); gaveUp == c.atOnce {
				t.Errorf("at once should be %t: %v", c.atOnce, err)
			}
			rest := err.Error()
			for i, want := range c.wants {
				_, at, named := strings.Cut(rest, c.hosts[i])
				if _, after, said := strings.Cut(at, want); named && said {
					rest = after
					continue
				}
				t.Errorf("%s should be said of %s: %v", want, c.hosts[i], err)
			}
		})
	}
}

func TestOpenByURLReturnsNoBrokerWithAnError(t *testing.T) {
	if b, err := messaging.Open(t.Context(), "amqp://h/?nosuch=1"); err == nil || b != nil {
		t.Errorf("got %#v with the error %v", b, err)
	}
}
