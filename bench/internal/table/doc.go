// Package table has the rows: which work is measured, who does it, and which
// ratio is wanted.
package table

import (
	"bytes"
	"slices"

	"github.com/warrenmq/warren/bench/internal/measure"
	"github.com/warrenmq/warren/bench/internal/peers"
)

// The names of the contenders in ratio lines.
const (
	Warren         = "warren"
	Raw            = "raw"
	RawAckEach     = "raw-ack-each"
	RawAckMultiple = "raw-ack-multiple"
	WatermillAMQP  = "watermill-amqp"
	GoChannel      = "gochannel"
	MemPubSub      = "mempubsub"
	NATS           = "nats"
)

// What a contender does less than warren.
const (
	noRouted    = "does not notice a missing queue"
	notCompeted = "its consumers do not compete"
	noAck       = "no acknowledgement, no redelivery"
)

// body is what every message carries.
var body = bytes.Repeat([]byte("x"), peers.BodySize)

// Quick has the rows that take little time. r may be nil where nobody runs
// them.
func Quick(r *peers.RabbitMQ) []measure.Row {
	return slices.Concat(publishing(r), consuming(r), memory())
}
