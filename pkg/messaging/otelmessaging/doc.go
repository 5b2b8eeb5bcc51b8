// Package otelmessaging is OpenTelemetry tracing and metrics for publishers and
// handlers.
//
//	telemetry, err := otelmessaging.New(url) // the URL that the broker was opened with
//	publisher := telemetry.Publisher(broker)
//	err = broker.Subscribe(ctx, source, messaging.Chain(handle, telemetry.Middleware(source)))
//
// # Conventions
//
// It follows the semantic conventions for messaging and for RabbitMQ
// (https://opentelemetry.io/docs/specs/semconv/messaging/) of version 1.44.0, and
// the schema URL says so. The newest that go.opentelemetry.io/otel has as a Go
// package is semconv/v1.43.0, which is what attributes and instruments are made
// with: for messaging, 1.44.0 added an attribute of Kafka and says for each system
// which attributes a span has, and renamed nothing.
//
// Spans, named by the operation and the queue or topic:
//
//	send hello      PRODUCER  one Publish call, until the broker has confirmed; CLIENT where every message had a trace context of its own
//	process hello   CONSUMER  one attempt of a handler
//	ack hello       CLIENT    what the handler's verdict means: ack, retry, nack (back to the queue) or reject (dead-lettered)
//
// The last is of type settle, and marks the decision: the adapter carries it out
// right after, together with others, so it has no duration worth reading. With
// Source.AutoAck there is none.
//
// Metrics: messaging.client.operation.duration and messaging.client.sent.messages
// of Publish, messaging.client.consumed.messages and messaging.process.duration of
// handlers.
//
// messaging.system is rabbitmq for amqp:// and amqps://, otherwise the scheme of
// the URL. On a topic, the destination's name has the routing key in it, as the
// conventions want for RabbitMQ; since there may be any number of those, span
// names and metrics have the topic alone, as messaging.destination.template. The
// queues that replies go to, which are temporary, are in neither.
//
// error.type is one of closed, unroutable, rejected, unconfirmed, blocked,
// too_large, timeout, canceled and panic; what an error's method ErrorType() string
// says; or else the Go type of the innermost error, and _OTHER where that says
// nothing.
//
// # Trace context
//
// Each message carries the context of its send span in the headers traceparent
// and tracestate (https://www.w3.org/TR/trace-context/). A message that has them
// already keeps them, and the send span links to them. They stay with a message
// through retries and into the dead letters.
//
// A process span links to the context in its message, and is otherwise a root,
// or a child of what is in the subscription's context. [WithParentChild] makes
// it a child of the message's context: one trace from the producer through every
// attempt to the dead letter, at the price that the conventions name: a trace
// has no end then, and a handler that runs in another span is only linked to it.
//
// # Cost
//
// With the providers of trace/noop and metric/noop, Publisher returns what it was
// given and Middleware does nothing: off costs nothing. Providers that are not
// named are the global ones, which may be set up later: until then a message
// costs a microsecond or two to publish and to handle (go test -bench .).
package otelmessaging
