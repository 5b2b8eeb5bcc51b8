package rabbitmq

import (
	"bytes"
	"math"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/pkg/messaging"
)

// hotBody is what the messages of these measurements carry.
var hotBody = bytes.Repeat([]byte("x"), 256)

// encodeNew makes an AMQP message of a new message, as Publish does.
func encodeNew() func() error {
	c := config{}.withDefaults()
	b, to := &Broker{cfg: &c}, messaging.Queue("q")
	return func() error {
		m := &messaging.Message{Body: hotBody}
		if err := messaging.Prepare(to, []*messaging.Message{m}); err != nil {
			return err
		}
		_, err := b.outgoing(to, m, frameSize)
		return err
	}
}

// acceptNew makes a job of a message as it comes from amqp091-go, and ends it.
func acceptNew() func() bool {
	cfg := config{}.withDefaults()
	src := messaging.Source{Address: messaging.Queue("q")}
	c := &consumer{s: &subscription{b: &Broker{cfg: &cfg}, src: src, queue: "q"}, gen: &generation{}}
	const id = "018bcfe5-687b-7000-8000-000000000000"
	return func() bool {
		j := c.accept(amqp.Delivery{
			MessageId: id, Timestamp: time.Unix(1_700_000_000, 0), Body: hotBody,
			Headers: amqp.Table{"_watermill_message_uuid": id},
		})
		if j == nil {
			return false
		}
		j.done()
		return true
	}
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	encode := encodeNew()
	for b.Loop() {
		if err := encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAccept(b *testing.B) {
	b.ReportAllocs()
	accept := acceptNew()
	for b.Loop() {
		if !accept() {
			b.Fatal("not accepted")
		}
	}
}

// allocs is what f allocates where every sync.Pool has what it asks for: under
// -race a pool drops a quarter of what it is given, so an average would differ
// from run to run.
func allocs(f func()) float64 {
	least := math.Inf(1)
	for range 100 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// TestAllocEncode: the message, its ID, and AMQP's table with the value in it.
func TestAllocEncode(t *testing.T) {
	encode := encodeNew()
	if n := allocs(func() { _ = encode() }); n > 5 {
		t.Errorf("%v allocations to make an AMQP message; 5 is enough", n)
	}
}

// TestAllocAccept: AMQP's table, which amqp091-go makes otherwise, the Delivery,
// the body's copy, and the time's text.
func TestAllocAccept(t *testing.T) {
	accept := acceptNew()
	if n := allocs(func() { accept() }); n > 5 {
		t.Errorf("%v allocations to make a job; 5 is enough", n)
	}
}
