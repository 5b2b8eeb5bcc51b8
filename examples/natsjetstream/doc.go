// Package natsjetstream is an adapter of package messaging for NATS JetStream,
// small enough to be read in one go: it is the example of the guide
// docs/writing-an-adapter.md. Import it for its scheme, or [Open] a Broker:
//
//	import _ "github.com/warrenmq/warren/examples/natsjetstream"
//
//	broker, err := messaging.Open(ctx, "nats://user:password@host1,host2:4223?ack_wait=30s")
//
// Without a port it is 4222. ack_wait is how long a message stays with a program
// that has died before another gets it (default 30s, at least 1s); while the
// program lives, its handlers may take as long as they like.
//
// # What it declares
//
//   - A queue is a stream of its own, with the retention of a work queue and one
//     durable consumer, which all of its subscribers share.
//   - Group g of topic t is a durable consumer of the stream WARREN_TOPICS, whose
//     retention is by interest. A private subscription is one that is not durable.
//   - What waits for its time, by Message.Delay or for another attempt, is in the
//     stream WARREN_HOLD; every Broker takes part in moving it on.
//
// # What differs from the memory broker
//
// What a rule says and this adapter does not do is listed, with the reason, in
// conformance_test.go. Within the rules:
//
//   - What is confirmed is stored as JetStream stores it: on disk, with an fsync
//     every two minutes unless the server is configured otherwise (sync_interval).
//   - A program that dies keeps its messages for ack_wait; a connection that is
//     lost gives them back as soon as there is a new one. What waits for its time
//     may come a second late where a program has died.
//   - Keys of a group are those that it was last bound with. "#" stands at the end
//     of a pattern.
//   - What is returned to a queue may come after what stood behind it.
//   - Headers have 60 KiB as they are sent; a body what is left of the server's
//     max_payload.
//   - MaxLength counts what is being handled too. A queue's TTL is at least 100 ms,
//     and drops what is being handled too.
//   - Message.TTL goes by the clocks of sender and receiver. What has expired stays
//     in the stream until somebody receives from it.
//   - A verdict is sent, and not awaited, but for that of [messaging.Get]. One that
//     is lost means that the message comes again.
//   - Get and Purge call a queue empty that has brought nothing for 250 ms.
//   - Deleting a topic deletes its groups.
package natsjetstream
