package rabbitmqtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Direction is one way through a [Proxy], or both.
type Direction int

// The directions in which a proxy can disturb what passes.
const (
	ToBroker Direction = 1 << iota
	ToClient
	BothWays = ToBroker | ToClient
)

// Proxy is a TCP proxy on the loopback interface that breaks the network on
// demand. Its methods may be called by any goroutine, at any time.
type Proxy struct {
	target string
	addr   string
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the goroutine of each listener and connection

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	links    map[*link]struct{}
	latency  time.Duration
	ways     map[Direction]*way
	cuts     int // made by CutAfter
}

// way is the state of one direction, guarded by the proxy's lock.
type way struct {
	open chan struct{} // closed while bytes may pass
	left int           // bytes until the cut; negative = no cut
	sent int           // bytes that have passed so far
}

// NewProxy starts a proxy to target ("host:port") that is closed when the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := StartProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// StartProxy starts a proxy to target ("host:port"). Whoever starts it closes it.
func StartProxy(target string) (*Proxy, error) {
	ports, err := FreePorts(1)
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		target: target,
		addr:   fmt.Sprintf("127.0.0.1:%d", ports[0]),
		links:  map[*link]struct{}{},
		ways: map[Direction]*way{
			ToBroker: {open: closedChan(), left: -1},
			ToClient: {open: closedChan(), left: -1},
		},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.Refuse(false); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr returns the "host:port" that clients dial. It never changes.
func (p *Proxy) Addr() string { return p.addr }

// URL returns base, the URL of the broker, with the proxy's address in it. It
// panics where base is not a URL.
func (p *Proxy) URL(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		panic("rabbitmqtest: " + err.Error())
	}
	u.Host = p.addr
	return u.String()
}

// SetLatency delays each byte by d in each direction, without making the
// connection slower otherwise: what is on its way is not held up by it.
func (p *Proxy) SetLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Blackhole lets nothing pass any more in a direction, or lets it pass again.
// As on a network that drops packets, connections stay open, a sender's
// buffers fill up, and nothing is lost if it ends in time. That a client
// closed its connection does not get through either.
func (p *Proxy) Blackhole(d Direction, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for direction, w := range p.ways {
		if d&direction == 0 || on == w.blocked() {
			continue
		}
		if on {
			w.open = make(chan struct{})
		} else {
			close(w.open)
		}
	}
}

// Refuse makes the system refuse new connections, as it does where nobody
// listens, or accept them again. Existing connections are unaffected.
func (p *Proxy) Refuse(on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on == (p.listener == nil) || p.ctx.Err() != nil {
		return nil
	}
	if on {
		l := p.listener
		p.listener = nil
		return l.Close()
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen for the proxy: %w", err)
	}
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return nil
}

// Cut ends all connections with a reset on both sides, and returns how many
// there were. New ones are accepted.
func (p *Proxy) Cut() int { return p.endAll((*link).reset) }

// CloseFIN ends all connections in order on both sides, as a peer that closes
// them does, and returns how many there were. New ones are accepted.
func (p *Proxy) CloseFIN() int { return p.endAll((*link).close) }

// CutAfter lets n more bytes pass in the direction (ToBroker or ToClient),
// counted over all connections, and then cuts the connection that would send
// the next one: its receiver sees the bytes and then the end, its sender a
// reset. That happens once. Zero cuts at the next byte; a negative n calls it off.
func (p *Proxy) CutAfter(n int, d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for direction, w := range p.ways {
		if d&direction != 0 {
			w.left = n
		}
	}
}

// Cuts returns how many times a connection was cut because of CutAfter.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Passed returns how many bytes have passed in the direction (ToBroker or
// ToClient) so far, over all connections.
func (p *Proxy) Passed(d Direction) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ways[d].sent
}

// Connections returns how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close ends the proxy and its connections, and waits for its goroutines. It
// may be called more than once.
func (p *Proxy) Close() {
	p.cancel()
	p.mu.Lock()
	l := p.listener
	p.listener = nil
	p.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	p.Cut()
	p.wg.Wait()
}

func (p *Proxy) endAll(end func(*link)) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		end(l)
	}
	return len(p.links)
}

func (p *Proxy) accept(from net.Listener) {
	for {
		client, err := from.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// serve carries one connection until it ends.
func (p *Proxy) serve(client net.Conn) {
	l := &link{proxy: p, client: client, done: make(chan struct{})}
	if !p.add(l) {
		l.reset()
		return
	}
	defer p.remove(l)
	defer l.close()
	var dialer net.Dialer
	broker, err := dialer.DialContext(p.ctx, "tcp", p.target)
	if err != nil || !l.join(broker) {
		l.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.carry(ToBroker, client, broker) })
	both.Go(func() { l.carry(ToClient, broker, client) })
	both.Wait()
}

// add reports false where Close has been called: nobody would end the link.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// gate returns the channel that is closed while bytes may pass.
func (p *Proxy) gate(d Direction) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ways[d].open
}

func (p *Proxy) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latency
}

// take returns how many of n bytes may pass, and whether the connection is to
// be cut behind them.
func (p *Proxy) take(d Direction, n int) (pass int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.ways[d]
	switch {
	case w.left < 0:
		pass = n
	case n > w.left:
		pass, cut, w.left = w.left, true, -1
		p.cuts++
	default:
		pass = n
		w.left -= n
	}
	w.sent += pass
	return pass, cut
}

func (w *way) blocked() bool {
	select {
	case <-w.open:
		return false
	default:
		return true
	}
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
