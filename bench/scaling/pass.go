package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	_ "github.com/warrenmq/warren/adapters/rabbitmq" // amqp:// for messaging.Open
	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
	"github.com/warrenmq/warren/pkg/messaging"
)

const (
	publishers = 8   // goroutines, each with keys of its own
	keys       = 64  // in all
	perCall    = 100 // messages a Publish
	workers    = 4   // of each shard's subscription
	prefetch   = 400 // of each shard's subscription
)

// trial is one round's queues, and who publishes to them and consumes.
type trial struct {
	brokers []messaging.Broker // one for each node
	queues  []messaging.Address
	last    [keys]atomic.Int64 // by key: the number of the message that was handled last
	wrong   atomic.Pointer[error]
}

// open connects, and declares so many queues.
func open(ctx context.Context, p place, shards int) (*trial, error) {
	t := &trial{}
	for _, url := range p.urls {
		b, err := messaging.Open(ctx, url+p.query)
		if err != nil {
			return nil, errors.Join(err, t.close(ctx))
		}
		t.brokers = append(t.brokers, b)
	}
	name := "scaling-" + strings.ToLower(rand.Text()[:12])
	for i := range shards {
		q := messaging.QueueSpec{Name: fmt.Sprintf("%s-%d", name, i)}
		if err := t.at(i).Declare(ctx, q); err != nil {
			return nil, errors.Join(err, t.close(ctx))
		}
		t.queues = append(t.queues, messaging.Queue(q.Name))
	}
	return t, nil
}

// at is the node that a shard's queue is reached through: they share the work,
// too.
func (t *trial) at(shard int) messaging.Broker { return t.brokers[shard%len(t.brokers)] }

func (t *trial) close(ctx context.Context) error {
	var errs []error
	for i, q := range t.queues {
		errs = append(errs, t.at(i).Delete(ctx, q), t.at(i).Delete(ctx, messaging.Queue(q.Name()+".dead")))
	}
	for _, b := range t.brokers {
		errs = append(errs, b.Close(ctx))
	}
	return errors.Join(errs...)
}

// shardOf is which of n queues a key's messages go to: always the same.
func shardOf(key string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % uint32(n))
}

// pass publishes n messages and consumes them at the same time, and checks
// that each came once and that those of a key came in order.
func (t *trial) pass(ctx context.Context, meter *measure.Meter, n int) (measure.Cost, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var handled atomic.Int64
	all := make(chan struct{})
	handle := func(_ context.Context, d *messaging.Delivery) error {
		if err := t.count(d); err != nil {
			t.wrong.CompareAndSwap(nil, &err)
			stop()
			return messaging.Reject(err)
		}
		if handled.Add(1) == int64(n) {
			close(all)
		}
		return nil
	}
	var consumers, ready sync.WaitGroup
	failed := make([]error, len(t.queues))
	ready.Add(len(t.queues))
	for i, q := range t.queues {
		source := messaging.Source{
			Address: q, Concurrency: workers, Prefetch: prefetch, Ready: sync.OnceFunc(ready.Done),
			OrderBy: func(d *messaging.Delivery) string { return d.Key },
		}
		consumers.Go(func() {
			if failed[i] = t.at(i).Subscribe(ctx, source, handle); failed[i] != nil {
				source.Ready()
				stop()
			}
		})
	}
	ready.Wait()

	start := meter.Read()
	err := t.publish(ctx, n)
	if err == nil {
		select {
		case <-all:
		case <-ctx.Done():
			err = fmt.Errorf("%d of %d messages came", handled.Load(), n)
		}
	}
	cost := meter.Read().Since(start)
	stop()
	consumers.Wait()
	if wrong := t.wrong.Load(); wrong != nil {
		err = errors.Join(err, *wrong)
	}
	if extra := handled.Load() - int64(n); err == nil && extra != 0 {
		err = fmt.Errorf("%d messages came twice", extra)
	}
	return cost, errors.Join(append(failed, err)...)
}

// count notes a message, which must be the next of its key.
func (t *trial) count(d *messaging.Delivery) error {
	key, err := strconv.Atoi(d.Key)
	if err != nil || key < 0 || key >= keys || len(d.Body) < 8 {
		return fmt.Errorf("a message that nobody sent, of key %q", d.Key)
	}
	number := int64(binary.BigEndian.Uint64(d.Body))
	if before := t.last[key].Swap(number); number != before+1 {
		return fmt.Errorf("message %d of key %d came after %d", number, key, before)
	}
	return nil
}

// publish sends n messages from goroutines, each of which has keys of its own
// and sends what goes to one queue together.
func (t *trial) publish(ctx context.Context, n int) error {
	errs := make([]error, publishers)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() { errs[p] = t.publishKeys(ctx, p, n/publishers) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (t *trial) publishKeys(ctx context.Context, publisher, n int) error {
	batches := make([][]*messaging.Message, len(t.queues))
	send := func(shard int) error {
		err := t.at(shard).Publish(ctx, t.queues[shard], batches[shard]...)
		batches[shard] = batches[shard][:0]
		return err
	}
	const each = keys / publishers
	numbers := [each]uint64{}
	for i := range n {
		key := strconv.Itoa(publisher*each + i%each)
		numbers[i%each]++
		body := append(binary.BigEndian.AppendUint64(nil, numbers[i%each]), bytes.Repeat([]byte("x"), peers.BodySize-8)...)
		shard := shardOf(key, len(t.queues))
		batches[shard] = append(batches[shard], &messaging.Message{Key: key, Body: body})
		if len(batches[shard]) == perCall {
			if err := send(shard); err != nil {
				return err
			}
		}
	}
	for shard := range batches {
		if len(batches[shard]) > 0 {
			if err := send(shard); err != nil {
				return err
			}
		}
	}
	return nil
}
