package messaging_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/pkg/messaging"
)

// FuzzParseURL: whatever stands in it, its errors show none of it, and what is
// read has the hosts as they were written.
func FuzzParseURL(f *testing.F) {
	f.Add("user", "p%40ss", "a:1,b:2", "/vhost?heartbeat=10s")
	f.Add("", "", "", "")
	f.Add("u", "p@s:s/w#rd?", "h", "/")
	f.Add("u", "%zz", "[::1]:5672,", "?a=%zz")
	f.Fuzz(func(t *testing.T, user, password, hosts, rest string) {
		raw := "amqp://" + user + ":" + password + "@" + hosts + rest
		u, err := messaging.ParseURL(raw)
		if err != nil {
			hidden := len(password) < 8 || strings.Contains(errorURL, password)
			if !hidden && strings.Contains(fmt.Sprintf("%v %+v", err, err), password) {
				t.Errorf("%q: the error shows the password: %v", raw, err)
			}
			return
		}
		if u.Scheme != "amqp" {
			t.Errorf("%q: the scheme is %q", raw, u.Scheme)
		}
		plain := url.UserPassword(user, password).String() == user+":"+password && !strings.ContainsAny(hosts, "/?#@") && strings.HasPrefix(rest, "/")
		if given, _ := u.User.Password(); plain && (u.Host != hosts || u.User.Username() != user || given != password) {
			t.Errorf("%q was read as %q, %q at %q", raw, u.User.Username(), given, u.Host)
		}
	})
}

// errorURL is what errors may say of any URL.
const errorURL = "the broker's amqp:// URL cannot be parsed: every host must be NAME or NAME:PORT, and special characters in user and " +
	"password must be percent-encoded (/ is %2F, @ is %40, : is %3A, # is %23) memory:// or amqp://user:password@host:5672/vhost must look like"

// FuzzDecide: a verdict, wrapped in anything, means what it says: the outermost
// counts, waits stay within their bounds, and the last attempt is the last.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0}, 1, 5, int64(time.Second), int64(time.Second), int64(time.Minute))
	f.Add([]byte{4, 1, 4, 3}, 5, 5, int64(-1), int64(0), int64(0))
	f.Add([]byte{2, 5, 3}, -7, -1, int64(1)<<62, int64(1), int64(1)<<62)
	f.Fuzz(func(t *testing.T, layers []byte, attempt, most int, wait, least, longest int64) {
		if len(layers) > 50 {
			return
		}
		want, verdict := build(layers, time.Duration(wait))
		src := messaging.Source{Address: messaging.Queue("q"), Retry: messaging.Retry{
			MaxAttempts: most, Min: time.Duration(least), Max: time.Duration(longest),
		}}
		if src.Validate() != nil {
			return
		}
		r := src.WithDefaults().Retry
		d := messaging.Decide(verdict, attempt, r)
		if want == messaging.Again && r.MaxAttempts >= 0 && attempt >= r.MaxAttempts {
			want = messaging.DeadLetter
		}
		if d.Action != want {
			t.Errorf("%v means %s, want %s", verdict, d.Action, want)
		}
		if d.Wait < 0 || d.Wait > max(messaging.MaxDelay, r.Max) {
			t.Errorf("the wait is %s", d.Wait)
		}
		if (d.Action == messaging.DeadLetter) != (d.Reason != "") || (d.Action == messaging.Acknowledge) != (d.Err == nil) {
			t.Errorf("%+v", d)
		}
	})
}

// build makes an error of layers, the first outermost, and says what it means.
func build(layers []byte, wait time.Duration) (messaging.Action, error) {
	if len(layers) == 0 {
		return messaging.Acknowledge, nil
	}
	action, inner := build(layers[1:], wait)
	plain := action // a layer that is no verdict means what is inside it
	if inner == nil {
		inner, plain = errors.New("the reason"), messaging.Again
	}
	switch layers[0] % 6 {
	case 0:
		return messaging.DeadLetter, messaging.Reject(inner)
	case 1:
		return messaging.Release, messaging.Requeue(inner)
	case 2:
		return messaging.Again, messaging.RetryAfter(wait, inner)
	case 3:
		return plain, errors.Join(errors.New("another"), inner)
	default:
		return plain, fmt.Errorf("wrapped: %w", inner)
	}
}
