// Package ops is what a running program shows to whoever operates it: whether it
// lives and is ready, its metrics, its traces and a line of the log for each
// message. docs/operations.md describes it from outside, and
// docs/adr/0010-what-a-program-shows.md says why it is as it is.
//
// It is the only package that imports OpenTelemetry's SDK, its exporters and
// Prometheus, so that nobody gets them who imports the messaging packages.
package ops
