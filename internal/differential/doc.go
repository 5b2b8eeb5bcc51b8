// Package differential compares the brokers: it runs the same random programs
// on the memory adapter and on real RabbitMQ, with quorum and with classic
// queues, and compares what can be observed after each step. It has tests only.
//
//	go test ./internal/differential                      // 30 programs for each kind of queue
//	go test ./... -run Differential -rapid.checks=500    // 500
//
// A program is a list of steps: declare, publish, subscribe, settle, purge and
// so on. What becomes of a message is written in the message itself, so that
// it does not depend on who handles it, or when. After each step, the brokers
// come to rest. Memory runs first, in a bubble of testing/synctest, where rest
// costs no time; what it shows is then awaited on RabbitMQ, step by step: as
// many deliveries, and as many messages in each queue. So nothing is slept for
// but what is about time, and what does not come in time is a difference.
// Where nothing shows, as with a delayed message to a topic without groups, a
// fence of the test's own follows on the same way.
//
// Time passes in every step. What is late comes at an elapse step, after others
// that deal with its queue meanwhile: on memory in an hour, and on RabbitMQ in
// a second and a half. A machine that is too busy for that gets another try.
//
// relation_test.go says what may differ, and which programs have no one answer
// on RabbitMQ itself and are therefore not generated; each with the reason.
//
// A failing program shrinks, and is written as Go to the test's output, and as
// a file to testdata/rapid, which later runs try first. Keep what it found by
// pasting the program into regression_test.go, under a name that says what it
// is about.
package differential
