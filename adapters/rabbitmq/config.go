package rabbitmq

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v2/pkg/amqp"

	"github.com/warrenmq/warren/pkg/messaging"
)

// config is what a Broker was opened with. withDefaults fills in what is zero,
// and validate says what cannot be.
type config struct {
	hosts    []string // host:port, tried in turn
	user     string   // defaults to guest
	password string   // defaults to guest; never shown
	vhost    string   // defaults to "/"
	secure   bool     // amqps
	tls      *tls.Config
	files    tlsFiles

	heartbeat      time.Duration // defaults to 10 s
	connectTimeout time.Duration // how long Open keeps trying, and any one attempt may take; defaults to 5 s
	publishTimeout time.Duration // defaults to messaging.DefaultPublishTimeout
	rejectTimeout  time.Duration // how long a refused message is sent again; defaults to 2 s
	maxMessageSize int           // of a body, in bytes; defaults to 16 MiB
	queueType      string        // of durable queues: quorum or classic; defaults to quorum
	name           string        // of the connections; defaults to program@host:pid

	log       *slog.Logger          // defaults to slog.Default()
	marshaler wamqp.Marshaler       // defaults to Marshaler{}
	topology  wamqp.TopologyBuilder // defaults to &wamqp.DefaultTopologyBuilder{}
}

// The defaults, which the guidance of rabbitmq.com asks for: a heartbeat of 5
// to 20 s, and quorum queues for what must not be lost.
const (
	defaultHeartbeat      = 10 * time.Second
	defaultConnectTimeout = 5 * time.Second
	defaultRejectTimeout  = 2 * time.Second
	defaultMaxMessageSize = 16 << 20 // what RabbitMQ 4 takes unless told otherwise
	queueTypeQuorum       = "quorum"
	queueTypeClassic      = "classic"
)

func (c config) withDefaults() config {
	c.user = cmp.Or(c.user, "guest")
	c.vhost = cmp.Or(c.vhost, "/")
	c.heartbeat = cmp.Or(c.heartbeat, defaultHeartbeat)
	c.connectTimeout = cmp.Or(c.connectTimeout, defaultConnectTimeout)
	c.publishTimeout = cmp.Or(c.publishTimeout, messaging.DefaultPublishTimeout)
	c.rejectTimeout = cmp.Or(c.rejectTimeout, defaultRejectTimeout)
	c.maxMessageSize = cmp.Or(c.maxMessageSize, defaultMaxMessageSize)
	c.queueType = cmp.Or(c.queueType, queueTypeQuorum)
	if c.name == "" {
		c.name = processName()
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.marshaler == nil {
		c.marshaler = Marshaler{}
	}
	if c.topology == nil {
		c.topology = &wamqp.DefaultTopologyBuilder{}
	}
	return c
}

// processName says who connects, so that it can be found in the broker's
// management pages.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s@%s:%d", filepath.Base(os.Args[0]), host, os.Getpid())
}

func (c config) validate() error {
	switch {
	case len(c.hosts) == 0:
		return errors.New("the URL names no host")
	case !c.secure && (c.files != tlsFiles{} || c.tls != nil):
		return errors.New("TLS was configured for an amqp:// URL; write amqps://")
	case (c.files.cert == "") != (c.files.key == ""):
		return errors.New("certfile and keyfile belong together: give both or none")
	}
	return nil
}

// parseConfig reads everything that the URL says. Its errors show no password.
func parseConfig(u *url.URL) (config, error) {
	c := config{}
	switch u.Scheme {
	case "amqp":
	case "amqps":
		c.secure = true
	default:
		return c, fmt.Errorf("the scheme is %q; write amqp:// or amqps://", u.Scheme)
	}
	if strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@") {
		return c, errors.New("there is an @ behind the host; in a user or password, write / as %2F, ? as %3F and # as %23, and anywhere @ as %40")
	}
	if u.Fragment != "" {
		return c, errors.New("the URL has a fragment (#); in a user, password or virtual host, write # as %23")
	}
	if u.User != nil {
		c.user = u.User.Username()
		c.password, _ = u.User.Password()
	} else {
		c.password = "guest"
	}
	var err error
	if c.hosts, err = parseHosts(u.Host, c.secure); err != nil {
		return c, err
	}
	if c.vhost, err = parseVhost(u.EscapedPath()); err != nil {
		return c, err
	}
	return c, c.setParameters(u.RawQuery)
}

// parseHosts reads host1,host2:5673. None is localhost.
func parseHosts(list string, secure bool) ([]string, error) {
	port := "5672"
	if secure {
		port = "5671"
	}
	if list == "" {
		list = "localhost"
	}
	var hosts []string
	for host := range strings.SplitSeq(list, ",") {
		one := url.URL{Host: host}
		name, p := one.Hostname(), one.Port()
		if p == "" {
			p = port
		}
		if name == "" {
			return nil, fmt.Errorf("a host is empty in %q; write NAME or NAME:PORT, separated by commas", list)
		}
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("the port of %q is not between 1 and 65535", host)
		}
		hosts = append(hosts, net.JoinHostPort(name, p))
	}
	return hosts, nil
}

// parseVhost reads the path: none and "/" are the virtual host "/", which
// https://www.rabbitmq.com/docs/uri-spec would write %2F.
func parseVhost(path string) (string, error) {
	path = strings.TrimPrefix(path, "/")
	if strings.Contains(path, "/") {
		return "", fmt.Errorf("the virtual host %q has a slash; write it as %%2F", path)
	}
	vhost, err := url.PathUnescape(path)
	if err != nil {
		return "", fmt.Errorf("the virtual host %q is not percent-encoded: write %% as %%25", path)
	}
	return vhost, nil
}
