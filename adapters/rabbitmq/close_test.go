package rabbitmq

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/pkg/messaging"
)

// closeCase is a Broker in some bad state, which its Close is to survive.
type closeCase struct {
	*testing.T
	*Broker
	proxy *rabbitmqtest.Proxy
	q     messaging.Address
	calls sync.WaitGroup // what runs when Close is called
}

// away lets the broker be away, as after a crash.
func (c *closeCase) away() {
	if err := c.proxy.Refuse(true); err != nil {
		c.Fatal(err)
	}
	g, err := c.publishes.await(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	c.proxy.Cut()
	next(c.T, g.lost, "the loss of the connection")
}

// publishing has n messages on their way, whose Publish ends with an error that
// includes want, and ErrClosed.
func (c *closeCase) publishing(n int, want error) {
	c.calls.Go(func() {
		if err := c.Publish(context.Background(), c.q, texts("m", n)...); !errors.Is(err, messaging.ErrClosed) || !errors.Is(err, want) {
			c.Errorf("Publish returned %v; want %v and %v", err, messaging.ErrClosed, want)
		}
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.publisher.lanes[0].load.Load() == 0 {
		next(c.T, tick.C, "the tick")
	}
}

// unanswered publishes to a broker that confirms no more.
func (c *closeCase) unanswered(way rabbitmqtest.Direction) {
	publish(c.T, c.Broker, c.q, &messaging.Message{}) // opens the lane
	c.proxy.Blackhole(way, true)
	c.publishing(1000, messaging.ErrUnconfirmed)
}

// stuck has a handler that ignores everything, until the test ends.
func (c *closeCase) stuck() {
	handling, release := make(chan struct{}, 1), make(chan struct{})
	c.Cleanup(func() { close(release) })
	ready := make(chan struct{}, 1)
	c.calls.Go(func() {
		src := messaging.Source{Address: c.q, Ready: func() { ready <- struct{}{} }}
		err := c.Subscribe(context.Background(), src, func(context.Context, *messaging.Delivery) error {
			handling <- struct{}{}
			<-release
			return nil
		})
		if !errors.Is(err, messaging.ErrClosed) || !strings.Contains(err.Error(), "1 handlers did not finish before the broker was closed") {
			c.Errorf("Subscribe returned %v", err)
		}
	})
	next(c.T, ready, "the subscription")
	publish(c.T, c.Broker, c.q, &messaging.Message{})
	next(c.T, handling, "the handler")
}

// TestCloseInBadStates: Close meets its deadline in each of them, ends whatever
// waits, and says again what it said. What it leaves running is found when the
// package's tests are over.
func TestCloseInBadStates(t *testing.T) {
	node := rabbitmqtest.SharedNode(t)
	for name, prepare := range map[string]func(c *closeCase){
		"nothing is wrong": func(*closeCase) {},
		"away":             func(c *closeCase) { c.away(); c.publishing(1, messaging.ErrClosed) },
		"never reached": func(c *closeCase) { // by the connection for everything but publishing
			c.away()
			ctx, cancel := context.WithTimeout(c.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.Inspect(ctx, c.q); !errors.Is(err, context.DeadlineExceeded) {
				c.Errorf("Inspect returned %v", err)
			}
			c.calls.Go(func() {
				if _, err := c.Inspect(context.Background(), c.q); !errors.Is(err, messaging.ErrClosed) {
					c.Errorf("Inspect returned %v", err)
				}
			})
		},
		"1,000 unconfirmed": func(c *closeCase) { c.unanswered(rabbitmqtest.ToClient) },
		"half-open":         func(c *closeCase) { c.unanswered(rabbitmqtest.BothWays) },
		"blocked": func(c *closeCase) {
			if err := node.SetMemoryAlarm(true); err != nil {
				c.Fatal(err)
			}
			c.Cleanup(func() {
				if err := node.SetMemoryAlarm(false); err != nil {
					t.Error(err)
				}
			})
			c.publishing(10, messaging.ErrClosed)
		},
		"stuck handler": func(c *closeCase) { c.stuck() },
		"stuck handler, half-open": func(c *closeCase) {
			c.stuck()
			c.proxy.Blackhole(rabbitmqtest.BothWays, true)
		},
		"stuck handler, away": func(c *closeCase) { c.stuck(); c.away() },
		"amid publishers": func(c *closeCase) {
			begun := make(chan struct{}, 100)
			for range 16 {
				c.calls.Go(func() {
					var err error
					for err == nil {
						err = c.Publish(context.Background(), c.q, texts("m", 10)...)
						select {
						case begun <- struct{}{}:
						default:
						}
					}
					if !errors.Is(err, messaging.ErrClosed) {
						c.Errorf("Publish returned %v", err)
					}
				})
			}
			next(c.T, begun, "a Publish")
		},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := rabbitmqtest.NewProxy(t, node.Addr())
			_, logger := newTestLog(t)
			b, err := Open(t.Context(), proxy.URL(node.URL()), WithLogger(logger))
			if err != nil {
				t.Fatal(err)
			}
			admin := open(t)
			c := &closeCase{T: t, Broker: b, proxy: proxy, q: declare(t, admin)}
			prepare(c)
			meetsDeadline(c)
		})
	}
}

func meetsDeadline(c *closeCase) {
	const limit, slack = 300 * time.Millisecond, 700 * time.Millisecond
	results := make(chan error, 2)
	start := time.Now()
	for range 2 { // at once
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			results <- c.Close(ctx)
		}()
	}
	first, second := next(c.T, results, "Close"), next(c.T, results, "the other Close")
	if took := time.Since(start); took > limit+slack {
		c.Errorf("with a deadline of %s it took %s", limit, took)
	}
	if !errors.Is(second, first) && !errors.Is(first, second) || !errors.Is(c.Close(c.Context()), first) {
		c.Errorf("Close returned %v, and %v", first, second)
	}
	if first != nil && !errors.Is(first, context.DeadlineExceeded) {
		c.Errorf("Close returned %v", first)
	}
	c.calls.Wait()
	if h := c.Health(); h.State != messaging.Closed || h.Since.Before(start) || h.Subscriptions != 0 || h.Blocked {
		c.Errorf("Health says %s", h)
	}
}
