package table

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

// CurveRounds is in how many rounds each point is measured, at most.
const CurveRounds = 3

// Curves are how the cost grows.
func Curves(env Env) []measure.Curve {
	return []measure.Curve{sizes(env), publishers(env), workers(env), prefetches(env), waiting(env), queues(env), memoryQueues(env), types(env)}
}

// points are those of a curve, one for each of the values.
func points[T any](name string, values []T, label func(T) string, contenders func(T) []measure.Contender) []measure.Point {
	var all []measure.Point
	for _, v := range values {
		all = append(all, measure.Point{Label: label(v), Row: measure.Row{
			Name: name + ", " + label(v), Contenders: contenders(v),
		}})
	}
	return all
}

func sizes(env Env) measure.Curve {
	const perCall = 100
	const most = 128 << 20 // bytes a round
	values := []int{16, 256, 4 << 10, 64 << 10, 1 << 20}
	return measure.Curve{
		Name: "size", Title: "Message size", X: "bytes in a body",
		Points: points("size", values, bytesLabel, func(size int) []measure.Contender {
			body := bytes.Repeat([]byte("x"), size)
			publish := func(name string, open peers.OpenPublisher) measure.Contender {
				return measure.Contender{
					Name: name, Unit: min(perCall, most/8/size), First: 16, Most: most / size,
					Work: env.RabbitMQ.Publishing(1, body, open),
				}
			}
			consume := func(name string, consume peers.Consume) measure.Contender {
				return measure.Contender{
					Name: name, First: 16, Most: most / size,
					Work: env.RabbitMQ.Consuming(body, 0, consume),
				}
			}
			return []measure.Contender{
				publish("warren publishes", peers.WarrenPublisher(1, perCall, nil)),
				publish("raw publishes", peers.RawBatches(perCall)),
				consume("warren consumes", peers.WarrenConsumer(1, peers.Prefetch)),
				consume("raw consumes", peers.RawConsumer(1, peers.Prefetch, peers.Prefetch/2)),
			}
		}),
	}
}

func bytesLabel(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprint(n>>20, " MiB")
	case n >= 1<<10:
		return fmt.Sprint(n>>10, " KiB")
	default:
		return fmt.Sprint(n, " B")
	}
}

func publishers(env Env) measure.Curve {
	return measure.Curve{
		Name: "publishers", Title: "Publishing goroutines, 1 message a call", X: "goroutines",
		Points: points("publishers", []int{1, 4, 16, 64, 256, 512}, strconv.Itoa, func(n int) []measure.Contender {
			ours, theirs := measure.NewCalls(), measure.NewCalls()
			warren := env.publisher(n, Warren, "", 0, peers.WarrenPublisher(n, 1, ours))
			raw := env.publisher(n, "raw, a channel each", "", 0, peers.RawEach(n, n, theirs))
			warren.Calls, raw.Calls = ours, theirs
			return []measure.Contender{warren, raw}
		}),
	}
}

func workers(env Env) measure.Curve {
	const work = 10 * time.Millisecond
	return measure.Curve{
		Name: "workers", Title: "Workers of one subscription", X: "workers (Source.Concurrency), prefetch 100 or as many",
		Points: points("workers", []int{1, 4, 16, 64, 256}, strconv.Itoa, func(n int) []measure.Contender {
			consume := peers.WarrenConsumer(n, max(n, peers.Prefetch))
			slow := env.consumer("handlers of 10 ms", 0, peers.Slow(work, consume))
			slow.First = 2 * n
			return []measure.Contender{env.consumer("handlers that return at once", 0, consume), slow}
		}),
	}
}

func prefetches(env Env) measure.Curve {
	c := measure.Curve{
		Name: "prefetch", Title: "Prefetch, 1 handler", X: "prefetch",
		Points: points("prefetch", []int{1, 10, 100, 500, 2000}, strconv.Itoa, func(n int) []measure.Contender {
			return []measure.Contender{
				env.consumer(Warren, 0, peers.WarrenConsumer(1, n)),
				env.consumer("raw, acknowledging each", 0, peers.RawConsumer(1, n, 1)),
			}
		}),
	}
	for i := range c.Points {
		c.Points[i].Row.Alike = true
	}
	return c
}

// waiting is why contenders of a row move alike many messages.
func waiting(env Env) measure.Curve {
	return measure.Curve{
		Name: "waiting", Title: "Messages in the queue, 1 handler, prefetch 100", X: "messages that wait at first",
		Points: points("waiting", []int{1000, 3000, 10_000, 30_000}, thousands, func(n int) []measure.Contender {
			emptying := func(name string, consume peers.Consume) measure.Contender {
				c := env.consumer(name, 0, consume)
				c.First, c.Most, c.Round = n, n, time.Minute
				return c
			}
			return []measure.Contender{
				emptying(Warren, peers.WarrenConsumer(1, peers.Prefetch)),
				emptying("raw, acknowledging 50 at once", peers.RawConsumer(1, peers.Prefetch, peers.Prefetch/2)),
				emptying("raw, acknowledging each", peers.RawConsumer(1, peers.Prefetch, 1)),
			}
		}),
	}
}

func thousands(n int) string { return fmt.Sprint(n/1000, ",000") }

var queueCounts = []int{1, 10, 100, 1000}

func queues(env Env) measure.Curve {
	return measure.Curve{
		Name: "queues", Title: "Publishing to many queues of RabbitMQ, 64 goroutines", X: "queues",
		Points: points("queues", queueCounts, strconv.Itoa, func(n int) []measure.Contender {
			return []measure.Contender{{
				Name: Warren, First: 200, Unit: peers.Senders,
				Work: env.RabbitMQ.WarrenOverQueues(peers.Senders, n, body),
			}}
		}),
	}
}

func memoryQueues(env Env) measure.Curve {
	return measure.Curve{
		Name: "memory-queues", Title: "Queues of the memory broker, 4 publishers, a consumer each", X: "queues",
		Points: points("memory queues", queueCounts, strconv.Itoa, func(n int) []measure.Contender {
			return []measure.Contender{env.exchange(four, Warren, "", 0, peers.WarrenQueues(n))}
		}),
	}
}

func types(env Env) measure.Curve {
	quorum := env
	quorum.RabbitMQ = env.RabbitMQ.Quorum()
	return measure.Curve{
		Name: "queue-type", Title: "Queue type, one node", X: "type of the queue",
		Points: points("queue type", []string{"classic", "quorum"}, func(s string) string { return s }, func(name string) []measure.Contender {
			on := map[string]Env{"classic": env, "quorum": quorum}[name]
			return slices.Concat([]measure.Contender{
				on.publisher(batch, "publish, 1,000 a call", "", 0, peers.WarrenPublisher(1, batch, nil)),
				on.publisher(64, "publish, 64 goroutines", "", 0, peers.WarrenPublisher(64, 1, nil)),
				on.publisher(1, "publish, 1 goroutine", "", 0, peers.WarrenPublisher(1, 1, nil)),
				on.consumer("consume, 1 handler", 0, peers.WarrenConsumer(1, peers.Prefetch)),
			})
		}),
	}
}
