// Package messaging is a small neutral interface for messaging. A service
// written on it never imports a broker: the broker is a URL.
//
//	broker, err := messaging.Open(ctx, os.Getenv("MESSAGING_URL")) // memory:// or amqp://...
//	...
//	err = broker.Publish(ctx, messaging.Queue("hello"), &messaging.Message{Body: []byte("Hello World!")})
//	...
//	err = broker.Subscribe(ctx, messaging.Source{Address: messaging.Queue("hello")}, handle)
//
// # Model
//
// A [Message] is published to an [Address]. A queue keeps messages until a
// consumer has settled them; its consumers compete, and each message is handled
// by one of them. A topic gives every group of subscribers its own copy: of all
// messages, or of those whose routing key matches Source.Keys. A group is
// durable and keeps messages while nobody reads; a subscription without a group
// is private and gets what is published while it lasts.
//
// [Subscriber.Subscribe] calls a [Handler] for each message, and the error that
// the handler returns is the verdict: nil acknowledges, any error tries again
// after a back-off, and what keeps failing goes to a dead-letter queue. See
// [Handler] for the whole table, and [Source] for how many handlers run and how
// many messages are held.
//
// On top of that, [Get] and [Messages] are for code that asks for messages
// instead of being called, [Request] and [Respond] for questions and answers,
// [Handle] with a [Codec] for handlers of typed values, and [Redrive] brings dead
// letters back to where they failed.
//
// # Guarantees
//
// Every adapter passes the cases of package messagingtest, which are named
// after the rules here.
//
// Publish tells the truth: nil means routed, confirmed and stored (P1). A
// failure names exactly the messages that failed (P3). A queue that does not
// exist is an error (P4), and so is a full one (P9).
//
// Delivery is at least once: a message whose handler did not finish is
// delivered again (C8), so handlers must tolerate a duplicate, which has the
// same ID. With Source.AutoAck delivery is at most once (C13). A message that
// waits for its retry holds up nothing else (C5), and a retry or a dead letter
// is stored in its new place before it leaves the old one (C7).
//
// # Ordering
//
// What one goroutine publishes to one address is enqueued in order (P2). A
// subscription with Concurrency 1 handles in queue order; with more,
// Source.OrderBy keeps the order for each key (C3). A message that is tried
// again after a wait comes later, and so does what a lost connection made
// Publish send again.
//
// # Shutdown
//
// Subscribe is one blocking call. When its context ends it drains: no handler
// starts any more, running ones finish with a live context, what was received
// but not started goes back to the queue, and then it returns (S1, S2). After
// Source.ShutdownTimeout the handlers' context is cancelled, and what they
// leave goes back to the queue as well (S3). When Subscribe has returned,
// nothing of it is left running. [Broker] Close does the same for everything
// that was opened (S5).
//
// # State
//
// [Broker] Health says at any time, for next to nothing, whether the broker is
// connected, whether it accepts messages, and how many subscriptions are
// active. [Watch] is a loop over it that runs each time something changes (H1).
//
// # Errors
//
// Failures wrap one of the sentinels ErrClosed, ErrUnroutable, ErrRejected,
// ErrUnconfirmed, ErrBlocked, ErrTooLarge, ErrEmpty, ErrSettled, ErrNotFound,
// ErrMismatch or ErrURL. Publish returns a [*PublishError]. Arguments that cannot be
// right (a nil message, a negative duration, an empty name) are refused by the
// call itself, before anything is sent, in a sentence that names the field.
//
// # Writing an adapter
//
// An adapter is a [Broker], and a function given to [Register]. The decisions
// are made here, so that all adapters make the same ones:
//
//   - [Prepare] checks the messages of a Publish and fills in what is empty.
//   - [CheckSubscribe] checks a Source and fills in its defaults; [CheckBind]
//     checks one that is to be bound.
//   - [Workers] runs the handlers of a subscription, in the order asked for,
//     and drains them. The adapter gives it a function that waits for the next
//     message, as a [Job].
//   - [Decide] says what an error means at an attempt; Workers passes the
//     [Decision] to Job.Settle, and the adapter carries it out.
//   - [DeadLetterHeaders] says why a message was given up.
//   - [Changes] makes the Broker a [Watcher].
//
// Around that, an adapter makes a few promises by itself:
//
//   - What Publish could not finish when the connection broke it sends again
//     when there is one, and stores once where the broker can tell.
//   - Attempt counts the failures that handlers reported, and neither what was
//     released nor a crash. A broker that counts deliveries counts too much.
//   - Another attempt, a dead letter and a move are stored in their new place
//     before the original is acknowledged. Job.Settle does not wait for that,
//     but Subscribe does before it returns.
//   - Close ends the subscriptions' contexts, waits for them within its own, and
//     closes what Workers.Cut is; only then does Publish return ErrClosed.
//   - What the broker cannot do is an error that wraps [errors.ErrUnsupported],
//     and a rule that the harness of its conformance test names as missing.
//
// A test of a few lines runs the executable contract against it: see package
// messagingtest. The guide docs/writing-an-adapter.md walks through a complete
// adapter, for NATS JetStream, in examples/natsjetstream.
package messaging
