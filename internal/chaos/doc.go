// Package chaos breaks a real RabbitMQ, the network on the way to it and the
// programs that use it, while these publish and consume, and keeps books of
// every message. What a fault may do to a message is written next to it: it
// may be delivered twice; one that was confirmed is never lost; and none is
// delivered that nobody sent.
//
// The nodes are private ones, so that nothing else on the machine notices.
//
//	go run ./internal/tools/chaos          all faults, in less than 15 minutes
//	go run ./internal/tools/chaos -short   every kind of fault, in less than three
package chaos
