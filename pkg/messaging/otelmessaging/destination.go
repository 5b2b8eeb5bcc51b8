package otelmessaging

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/warrenmq/warren/pkg/messaging"
)

// broker is what the URL says.
type broker struct {
	rabbitmq bool
	attrs    []attribute.KeyValue // messaging.system, server.address and server.port
}

func parseBroker(raw string) (broker, error) {
	u, err := messaging.ParseURL(raw)
	if err != nil {
		return broker{}, err
	}
	b := broker{rabbitmq: u.Scheme == "amqp" || u.Scheme == "amqps"}
	b.attrs = append(b.attrs, semconv.MessagingSystemKey.String(u.Scheme))
	if b.rabbitmq {
		b.attrs[0] = semconv.MessagingSystemRabbitMQ
	}
	first, _, _ := strings.Cut(u.Host, ",")
	host := url.URL{Host: first}
	if host.Hostname() == "" {
		return b, nil
	}
	b.attrs = append(b.attrs, semconv.ServerAddress(host.Hostname()))
	standard := map[string]string{"amqp": "5672", "amqps": "5671"}[u.Scheme]
	if port, err := strconv.Atoi(cmp.Or(host.Port(), standard)); err == nil {
		b.attrs = append(b.attrs, semconv.ServerPort(port))
	}
	return b, nil
}

// replyPrefix begins the names of the queues that [messaging.Request] makes,
// one for each requester.
const replyPrefix = "warren.reply."

// destination is where a message goes, or comes from.
type destination struct {
	address messaging.Address
	key     string // on a topic; "" where it is not the same for all messages of a call
	queue   string // of a consumer of a topic; "" where it has no name
}

func (d destination) temporary() bool {
	return d.address.IsQueue() && strings.HasPrefix(d.address.Name(), replyPrefix)
}

// name is messaging.destination.name. The conventions for RabbitMQ build it from
// the exchange, the routing key and the queue, leaving out what is empty: the
// exchange of a queue is the default one, which is, and its key the queue's name.
func (d destination) name() string {
	parts := []string{d.address.Name(), d.key, d.queue}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ":")
}

// spanName is the operation and what there are few of: no routing key, and no
// temporary queue.
func (d destination) spanName(operation string) string {
	if d.temporary() {
		return operation
	}
	return operation + " " + d.address.Name()
}

// spanAttrs appends what a span says about d.
func (d destination) spanAttrs(attrs []attribute.KeyValue, rabbitmq bool) []attribute.KeyValue {
	attrs = append(attrs, semconv.MessagingDestinationName(d.name()))
	if d.temporary() {
		attrs = append(attrs, semconv.MessagingDestinationTemporary(true), semconv.MessagingDestinationAnonymous(true))
	}
	key := d.key
	if d.address.IsTopic() {
		attrs = append(attrs, semconv.MessagingDestinationTemplate(d.address.Name()))
	} else {
		key = d.address.Name()
	}
	if rabbitmq && key != "" {
		attrs = append(attrs, semconv.MessagingRabbitMQDestinationRoutingKey(key))
	}
	return attrs
}

// metricAttrs appends what a metric says about d.
func (d destination) metricAttrs(attrs []attribute.KeyValue) []attribute.KeyValue {
	switch {
	case d.temporary():
		return attrs
	case d.address.IsTopic():
		return append(attrs, semconv.MessagingDestinationTemplate(d.address.Name()))
	default:
		return append(attrs, semconv.MessagingDestinationName(d.address.Name()))
	}
}
