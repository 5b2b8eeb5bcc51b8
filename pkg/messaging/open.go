package messaging

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// An OpenFunc opens the Broker that a URL describes. The URL's Host may name
// several hosts, separated by commas.
type OpenFunc = func(context.Context, *url.URL) (Broker, error)

var (
	adaptersMu sync.RWMutex
	adapters   = map[string]OpenFunc{}
)

// Register makes an adapter known to [Open] under a URL scheme. Adapters call
// it in their init function. It panics when the scheme is taken or open is
// nil, as [database/sql.Register] does.
func Register(scheme string, open func(context.Context, *url.URL) (Broker, error)) {
	adaptersMu.Lock()
	defer adaptersMu.Unlock()
	if open == nil {
		panic("messaging: Register " + scheme + ": open is nil")
	}
	if _, taken := adapters[scheme]; taken {
		panic("messaging: Register " + scheme + ": called twice")
	}
	adapters[scheme] = open
}

// Schemes are the URL schemes of the adapters that are imported, sorted.
func Schemes() []string {
	adaptersMu.RLock()
	defer adaptersMu.RUnlock()
	return slices.Sorted(maps.Keys(adapters))
}

// Open opens the Broker that a URL names: "memory://", or
// "amqp://user:password@host1,host2/vhost?heartbeat=10s". The adapter's package
// must be imported, if only for its side effect:
//
//	import _ "github.com/warrenmq/warren/adapters/rabbitmq"
//
// Who opens closes. A URL that cannot be used is ErrURL. No error shows the
// URL's password.
func Open(ctx context.Context, rawURL string) (Broker, error) {
	u, err := ParseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	adaptersMu.RLock()
	open, known := adapters[u.Scheme]
	adaptersMu.RUnlock()
	if !known {
		return nil, fmt.Errorf("open: %w: no adapter for %s:// among those imported (%s); import the adapter's package, "+
			"for example _ \"github.com/warrenmq/warren/adapters/rabbitmq\"", ErrURL, u.Scheme, strings.Join(Schemes(), ", "))
	}
	return open(ctx, u)
}

// ParseURL is [url.Parse] for URLs with several hosts, each with its own port,
// which net/url refuses: the Host of what it returns is all of them, separated
// by commas. It is for adapters with an Open of their own.
//
// Its errors are ErrURL and do not quote the URL, because a password that is not escaped makes
// any part of it look like a host or a port.
func ParseURL(raw string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if raw == "" || !ok || scheme == "" {
		return nil, fmt.Errorf("%w: it must look like memory:// or amqp://user:password@host:5672/vhost", ErrURL)
	}
	authority, path := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, path = rest[:end], rest[end:]
	}
	user, hosts := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, hosts = authority[:at+1], authority[at+1:]
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if _, err := url.Parse(scheme + "://" + user + host + path); err != nil || (host == "" && hosts != "") {
			return nil, fmt.Errorf("%w: the %s:// URL cannot be parsed: every host must be NAME or NAME:PORT, and special "+
				"characters in user and password must be percent-encoded "+encoded, ErrURL, printable(scheme))
		}
	}
	u, err := url.Parse(scheme + "://" + user + path)
	if err != nil {
		return nil, fmt.Errorf("%w: what follows the host of the %s:// URL must be percent-encoded "+encoded, ErrURL, printable(scheme))
	}
	u.Host = hosts
	return u, nil
}

// encoded is how to write what has a meaning of its own in a URL.
const encoded = "(%% is %%25, / is %%2F, ? is %%3F, # is %%23, @ is %%40, : is %%3A, a space is %%20)"

// printable keeps what is no scheme at all out of an error text.
func printable(scheme string) string {
	for _, r := range scheme {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r) {
			return "broker's"
		}
	}
	return scheme
}
