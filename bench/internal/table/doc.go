// Package table has the rows: which work is measured, who does it, and which
// ratio is wanted.
package table

import (
	"bytes"
	"slices"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

// The names of the contenders.
const (
	Warren           = "warren"
	Raw              = "raw"                     // amqp091-go, as an expert writes it who promises what warren does
	RawPlain         = "raw-plain"               // the same, promising less
	RawSame          = "raw-same-message"        // the same, sending what warren sends
	RawWindow        = "raw-window"              // the same, not waiting for a batch to end
	RawShared        = "raw-shared"              // the same, all goroutines on one channel
	RawSharedSame    = "raw-shared-same-message" // raw-shared, sending what warren sends
	Wire             = "wire"                    // warren's messages as ready frames, written by no client: the broker's limit
	RawAckEach       = "raw-ack-each"            // the same, acknowledging each message
	RawAckMultiple   = "raw-ack-multiple"        // the same, acknowledging many at once
	WatermillAMQP    = "watermill-amqp"          // with a pool of channels
	WatermillDefault = "watermill-amqp-default"
	Wagslane         = "wagslane-go-rabbitmq"
	RabbitPubSub     = "rabbitpubsub"
	GoChannel        = "gochannel"
	MemPubSub        = "mempubsub"
	NATS             = "nats"
	Channel          = "channel"
	CopyingQueue     = "copying-queue" // mutex-queue with the copies that warren's rules ask for
	MutexQueue       = "mutex-queue"
)

// What a contender does less than warren.
const (
	noRouted = "does not notice a missing queue"
	plain    = "does not notice a missing queue; no ID"
	noBatch  = "no caller learns when its own messages are stored"
	noClient = "ready frames, no client: the broker's limit"
	noAck    = "no acknowledgement, no redelivery"
	noRules  = "no acknowledgement, no redelivery, no names"
	noBroker = "no acknowledgement, no redelivery, no copy, no names: the limit"
)

// body is what every message carries.
var body = bytes.Repeat([]byte("x"), peers.BodySize)

// Env is what the rows work on. Where nobody runs them, its zero value will do.
type Env struct {
	RabbitMQ *peers.RabbitMQ
}

// Quick has the rows for tuning: only rows that take little time, and only
// contenders with a target, and raw-plain.
func Quick(env Env) []measure.Row {
	rows := slices.Concat(publishing(env), consuming(env), exchanging(env))
	for i := range rows {
		rows[i].Contenders = slices.DeleteFunc(rows[i].Contenders, func(c measure.Contender) bool {
			return c.Name != Warren && c.Name != RawPlain && c.Want == 0
		})
	}
	return rows
}

// Full has all rows, with all contenders.
func Full(env Env) []measure.Row {
	return slices.Concat(publishing(env), consuming(env), handling(env), exchanging(env), batches(env), growing(env))
}
