// Package rabbitmq is the RabbitMQ adapter of package messaging, on Watermill
// and amqp091-go. Import it for its schemes, amqp and amqps, or [Open] a Broker:
//
//	import _ "github.com/warrenmq/warren/adapters/rabbitmq"
//
//	broker, err := messaging.Open(ctx, "amqp://user:password@host1,host2:5673/vhost?heartbeat=5s")
//
// # The URL
//
// Several hosts are tried in turn. Without a port it is 5672, and 5671 with
// amqps; without a user, guest; without a path, the virtual host "/". What has a
// meaning in a URL is percent-encoded: %2F for a slash in a virtual host. After
// the question mark there may be, each once:
//
//	parameter         default     meaning
//	heartbeat         10s         how often each side shows that it lives; half as much again of silence is a lost connection
//	connect_timeout   5s          how long Open keeps trying, and any one attempt to connect may take
//	publish_timeout   30s         how long Publish waits for the next sign of progress where its ctx has no deadline
//	reject_timeout    2s          how long a message that the broker refuses is sent again before it is ErrRejected
//	max_message_size  16MiB       the largest body that is sent, in bytes, KiB or MiB; not above the broker's own limit
//	queue_type        quorum      of the durable queues that are declared: quorum or classic
//	connection_name   (program)   what the broker's pages call the connections; program@host:pid unless given
//	cacertfile        (system's)  a PEM file with the authorities whose certificates are accepted, for amqps
//	certfile          (none)      a PEM file with the client's certificate, for amqps; together with keyfile
//	keyfile           (none)      a PEM file with its key
//
// A duration is written 10s, 500ms or 1m, and a plain number is seconds. What
// cannot be said in a URL is an [Option].
//
// # What it declares
//
// A queue is a queue, and a topic a durable exchange of type topic. Group g of
// topic t is the queue t.g. Messages that wait (Message.Delay, retries) do so in
// queues whose names begin with warren.delay, which need no plugin. What exists
// is used as it is, so that an operator may declare it all beforehand. The user
// needs the permissions to configure, write and read what is used.
//
// # What differs from the memory broker
//
//   - QueueInfo.Unsettled is [messaging.Unknown]: RabbitMQ does not tell.
//   - A quorum queue counts a moment late, takes some messages more than
//     MaxLength, and puts what is released at its end; a classic one does not.
//   - Messages survive the program, and a restart of the broker unless their
//     queue is Transient. RabbitMQ 4.3 and later refuse such a queue unless it
//     is Exclusive.
//   - An Exclusive queue, and with it a private subscription, loses what is in
//     it when the connection is lost.
//   - Delay and TTL are exact to about 100 ms, not to the instant. A delayed
//     message goes by way of queues that count in units of 100 ms.
//   - With Source.AutoAck, a message comes again where the connection breaks
//     just when it is acknowledged.
//   - What is refused (ErrRejected) is sent again for reject_timeout first.
//   - An exchange of another type can be a topic, with that type's routing.
//   - amqp091-go drops a connection that brings it a message with more than
//     8,192 headers, of which the broker may add one, or headers nested more than
//     32 deep, which only another program can have sent; it comes again until it
//     is removed by other means.
//   - RabbitMQ takes no properties and headers that are larger than a frame
//     (frame_max, 128 KiB by default). A message of another program that fills
//     one cannot be tried again: it is dead-lettered at its first failure, whole,
//     with as many of the headers that say why as fit.
package rabbitmq
