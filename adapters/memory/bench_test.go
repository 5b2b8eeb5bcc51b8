package memory_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
)

// BenchmarkThroughput publishes b.N messages of 256 bytes and handles all of
// them: so many publishers, so many subscriptions of one queue, so many
// messages a call.
func BenchmarkThroughput(b *testing.B) {
	for _, parallel := range []int{1, 4} {
		for _, perCall := range []int{1, 100} {
			b.Run(fmt.Sprintf("%d:%d/percall=%d", parallel, parallel, perCall), func(b *testing.B) {
				throughput(b, parallel, perCall)
			})
		}
	}
}

func throughput(b *testing.B, parallel, perCall int) {
	broker := memory.New()
	to := messaging.Queue("bench")
	if err := broker.Declare(b.Context(), messaging.QueueSpec{Name: to.Name()}); err != nil {
		b.Fatal(err)
	}
	var handled atomic.Int64
	done := make(chan struct{})
	var handle messaging.Handler = func(context.Context, *messaging.Delivery) error {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	}
	var consumers sync.WaitGroup
	for range parallel {
		consumers.Go(func() { _ = broker.Subscribe(b.Context(), messaging.Source{Address: to}, handle) })
	}
	body := make([]byte, 256)
	b.ReportAllocs()
	b.ResetTimer()
	for p := range parallel {
		go publishN(b, broker, to, body, b.N/parallel+min(1, max(0, b.N%parallel-p)), perCall)
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	if err := broker.Close(b.Context()); err != nil {
		b.Error(err)
	}
	consumers.Wait()
}

func publishN(b *testing.B, p messaging.Publisher, to messaging.Address, body []byte, n, perCall int) {
	msgs := make([]*messaging.Message, perCall)
	for n > 0 {
		msgs = msgs[:min(n, perCall)]
		for i := range msgs {
			msgs[i] = &messaging.Message{Body: body}
		}
		if err := p.Publish(context.Background(), to, msgs...); err != nil {
			b.Error(err)
			return
		}
		n -= len(msgs)
	}
}

// BenchmarkWaiting publishes and gets one message of a queue in which so many
// others wait.
func BenchmarkWaiting(b *testing.B) {
	for _, waiting := range []int{0, 1_000_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			broker := memory.New()
			if err := broker.Declare(b.Context(), messaging.QueueSpec{Name: work.Name()}); err != nil {
				b.Fatal(err)
			}
			body := make([]byte, 256)
			publishN(b, broker, work, body, waiting, 1000)
			b.ReportAllocs()
			for b.Loop() {
				publishN(b, broker, work, body, 1, 1)
				if p, err := broker.Get(b.Context(), messaging.Source{Address: work}); err != nil || p.Settle(nil) != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkQueues publishes to so many queues in turns, each of which has a
// subscription.
func BenchmarkQueues(b *testing.B) {
	for _, queues := range []int{1, 1000} {
		b.Run(fmt.Sprint(queues), func(b *testing.B) { throughQueues(b, queues) })
	}
}

func throughQueues(b *testing.B, queues int) {
	broker := memory.New()
	var handled atomic.Int64
	done := make(chan struct{})
	handle := func(context.Context, *messaging.Delivery) error {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	}
	to := make([]messaging.Address, queues)
	var ends []func()
	for i := range to {
		to[i] = messaging.Queue(fmt.Sprint("q", i))
		if err := broker.Declare(b.Context(), messaging.QueueSpec{Name: to[i].Name()}); err != nil {
			b.Fatal(err)
		}
		ends = append(ends, begin(b, broker, messaging.Source{Address: to[i]}, handle))
	}
	body := make([]byte, 256)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		publishN(b, broker, to[i/100%queues], body, 1, 1) // a hundred messages to each
	}
	<-done
	b.StopTimer()
	for _, end := range ends {
		end()
	}
}
