package peers_test

import (
	"context"
	"strings"
	"testing"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

var (
	one  = peers.Load{Publishers: 1, Consumers: 1, Body: []byte("body")}
	four = peers.Load{Publishers: 4, Consumers: 4, Body: []byte("body")}
)

func TestExchangesMoveEveryMessageOnce(t *testing.T) {
	for name, c := range map[string]struct {
		load peers.Load
		open peers.OpenExchange
	}{
		"warren":             {four, peers.WarrenMemory(1)},
		"warren, batches":    {four, peers.WarrenMemory(100)},
		"warren, waiting":    {one, peers.WarrenWaiting(500)},
		"warren, queues":     {four, peers.WarrenQueues(10)},
		"gochannel":          {one, peers.GoChannel(1)},
		"gochannel, batches": {one, peers.GoChannel(100)},
		"mempubsub":          {four, peers.MemPubSub},
		"NATS":               {four, peers.NATS},
		"copying queue":      {four, peers.CopyingQueue},
		"copying queues":     {four, peers.CopyingQueues(10)},
		"mutex queue":        {four, peers.MutexQueue},
		"channel":            {four, peers.Channel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			work := peers.Exchanging(measure.NewMeter(0), c.load, c.open)
			cost, err := work(t.Context(), 2000)
			if err != nil {
				t.Fatal(err)
			}
			if cost.Took <= 0 {
				t.Errorf("it took %v", cost.Took)
			}
		})
	}
}

// twice delivers every message two times.
type twice struct{ handle func() }

func (x twice) Publish(_ context.Context, _, n int) error {
	for range 2 * n {
		x.handle()
	}
	return nil
}

func (twice) Close() error { return nil }

func TestAMessageThatComesTwiceIsFound(t *testing.T) {
	work := peers.Exchanging(measure.NewMeter(0), one, func(_ context.Context, _ peers.Load, handle func()) (peers.Exchange, error) {
		return twice{handle}, nil
	})
	if _, err := work(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "20 messages were handled, and there were 10") {
		t.Errorf("got %v, want an error that says how many came", err)
	}
}

func TestWaitingBytes(t *testing.T) {
	body := make([]byte, 256)
	got, err := peers.WaitingBytes(t.Context(), 10_000, body)
	if err != nil {
		t.Fatal(err)
	}
	if got < 256 || got > 10*256 {
		t.Errorf("a waiting message of 256 bytes takes %.0f", got)
	}
}
