// Package memory is a messaging broker inside the process, for unit tests,
// laptops and small services. It is no mock: it keeps the rules of package
// messaging and behaves as RabbitMQ does.
//
//	broker := memory.New()                              // or messaging.Open(ctx, "memory://")
//	defer broker.Close(ctx)
//
// Each New or Open is a broker of its own; what is to exchange messages shares
// one [Broker].
//
// # What it simulates
//
// Queues are FIFO. Consumers of one queue compete: it is dealt out to them in
// turn, and each holds at most its prefetch. What is released goes back to its
// original place; what is tried again waits aside and then joins the end. Dead
// letters, TTL, Delay, MaxLength with either Overflow, AutoDelete and
// SingleActive work as on RabbitMQ, and so does the drain at the end of a
// subscription. A topic copies each message to the queues of the groups and
// private subscriptions that have a pattern for its key. Publisher and
// receivers share no memory: a message is copied when it is published, and
// again for each delivery.
//
// # Looking
//
// [Broker.WaitIdle] waits until everything that was published is settled, with
// neither a timer nor a poll. [Broker.Published], of a broker that is made
// [WithRecording], and [Broker.DeadLetters] return what was sent and what
// failed.
//
// # Faults
//
// These break the broker on demand, so that how a service copes is a unit test:
//
//	Disconnect, Reconnect            the connection is lost, and back
//	Block, Unblock                   an alarm: publishers wait
//	HoldConfirms, ReleaseConfirms    nothing is confirmed, then all of it
//	OnPublish(Fault{...})            single messages, by address and number:
//	    Err                          refused, or any other error
//	    NoConfirm                    stored, and the confirmation lost
//	    ConfirmAfter                 stored, and confirmed late
//	    Twice                        stored twice
//	Redeliver                        what a queue's consumers hold comes again
//	CancelConsumers                  the broker cancels a queue's consumers
//	Delete                           a queue or topic is gone
//	Inject                           a message that no warren Publish made
//
// # Speed
//
// A publisher that is far ahead of a queue's consumers lets other goroutines
// run, and does not wait. While much passes through it, a Broker with
// subscriptions holds 16 MB that it never writes, so that the garbage collector
// runs less often: MemStats shows them, the resident set does not. See
// docs/adr/0007-speed-of-the-memory-adapter.md.
//
// # Time
//
// Delays, retries and TTLs are exact, and all waiting is on channels and
// timers. Inside a [testing/synctest] bubble they therefore take no time at
// all; create the Broker in the bubble that uses it. There is no polling, and
// an idle Broker has no goroutine.
//
// # What it does not simulate
//
//   - Persistence. Messages end with the Broker, so Transient makes no
//     difference.
//   - Connections. A Broker is one connection: what is Exclusive is always its
//     own, and Disconnect does not delete it, unless it is AutoDelete and has
//     consumers.
//   - A cluster, its leaders, permissions, and the time that a network takes.
//     What is refused is ErrRejected at once; the RabbitMQ adapter sends it
//     again for a while first.
//   - Exchanges other than what a topic is, and what can be configured at the
//     broker alone, such as policies.
//   - Quorum queues' order of what is released: without a limit to deliveries
//     they put it at the end. Here it goes back to its place, as in a classic
//     queue.
//   - Bounds of its own. A queue without MaxLength grows until the process is
//     out of memory. MaxLength holds for what is published and dead-lettered:
//     released messages, retries and delayed messages whose time has come were
//     accepted before, and enter a full queue that rejects. A dead letter that
//     is refused is handled again a second later.
//   - Messages that outlive their queue. What waits for a Delay or a retry is
//     gone when its queue or topic is deleted. On RabbitMQ it waits on; it comes
//     if there is another of that name by then to which something delayed was
//     sent, and is put aside otherwise.
//   - TTL of held messages, where it is stricter than RabbitMQ: a message whose
//     own TTL ends while it waits in a subscription's prefetch is dropped too.
package memory
