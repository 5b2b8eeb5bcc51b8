// Package rabbitmq is the RabbitMQ adapter of package messaging, on Watermill
// and amqp091-go.
package rabbitmq
