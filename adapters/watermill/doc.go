// Package watermill joins warren and Watermill
// (https://github.com/ThreeDotsLabs/watermill), both ways.
//
// # Watermill code on our brokers
//
// [NewPublisher] and [NewSubscriber] offer any warren Broker as a Watermill
// Pub/Sub, so that Router, CQRS and middleware run on it:
//
//	pub := watermill.NewPublisher(broker)
//	sub := watermill.NewSubscriber(broker)
//	router.AddHandler("greet", "hello", sub, "greetings", pub, greet)
//
// A Watermill topic is the queue of that name; [WithAddress] and [WithSource]
// make it something else, for example a topic with a group. What holds:
//
//   - Publish is nil when every message is stored. A queue that does not exist
//     is an error: Subscribe and SubscribeInitialize declare it.
//   - UUID, metadata and payload arrive as they were sent. Metadata that begins
//     with "_warren_" is reserved: it is the fields of a [messaging.Message].
//   - Ack acknowledges. Nack returns the message to its queue at once, uncounted,
//     as in Watermill; with [WithNack] it is tried again with a back-off, and
//     dead-lettered in the end.
//   - Closing drains: what is being handled may still be acknowledged, and is
//     not handled twice; what nobody has read is back in the queue at once.
//   - Watermill's component delay works, on any Broker.
//   - Watermill's universal test suite passes on memory and on RabbitMQ's quorum
//     queues: order (one subscriber), persistence, consumer groups, reconnection.
//
// What Watermill has no place for: a message's TTL cannot be set; Attempt,
// Redelivered and Time of a received one are in its context, see
// [DeliveryFromContext]. Nobody is told when a subscription is interrupted and
// resumes; the Broker's Health and log say it.
//
// # Our code on any Watermill Pub/Sub
//
// [NewBroker] makes a [messaging.Broker] of any Watermill Publisher and
// Subscriber, as far as that goes:
//
//	broker := watermill.NewBroker(pub, sub, watermill.WithCompeting())
//
// All verdicts, attempts, retries with back-off, dead letters, TTL, AutoAck,
// Concurrency, OrderBy, draining and Close work, since they are done here. A
// retry or a dead letter is a copy that is published before the original is
// acknowledged: nothing is lost in between, and a crash there is a duplicate.
//
// What is stored, kept in order, shared or given to everybody is the Pub/Sub's
// to decide, and what it does not do cannot be had:
//
//   - nil from Publish means what the Watermill Publisher means by it. Messages
//     are published one by one, so that the error can name those that failed;
//     all its errors are ErrUnconfirmed, none is tried again, and there is no
//     ErrUnroutable, ErrRejected, ErrBlocked or ErrTooLarge unless the Publisher
//     has them in its chain.
//   - Message.Delay needs [WithDelays]. Without it, a message that waits for its
//     retry is held unacknowledged, counts for Prefetch, and holds up others
//     where the Pub/Sub hands out one at a time. When the subscription ends it
//     goes back at once, and that attempt is forgotten.
//   - Redelivered is true for what is tried again, and otherwise false: a Nack
//     is a redelivery that nobody counts.
//   - Watermill's Subscribe has no groups and keys: they are configured in the
//     Subscriber. So one Broker is one group, of every topic that it is
//     subscribed to (WithTopic); Source.Group and Source.Keys are errors.
//   - These, topics without WithTopic, and Bind, Inspect, Purge and Delete return
//     errors that wrap [errors.ErrUnsupported]; a Manager (WithManager) helps with
//     the last four. Declare can initialize a topic, and not ask for properties.
//   - Get subscribes for a moment, and calls a queue empty that brought nothing
//     for 250 ms.
//   - Health knows no connection: it is Connected until Close.
//   - A Publisher or Subscriber that hangs is left behind, in a goroutine, when
//     the caller's time is up.
//
// The package's tests hold it to the contract of package messagingtest on stock
// watermill-amqp, on GoChannel and on this package's own other half; each rule
// that is not kept there is declared with its reason.
package watermill
