// Package packaging checks how the programs are packed and shipped: Dockerfile,
// compose.yaml, the version that they tell. It has no code but its tests, and
// is a module of its own, so that the libraries that it checks with (BuildKit's
// and Compose's own) never reach a user's dependencies.
//
// Where there is no container engine, nothing here needs one: what the
// Dockerfile builds is built and run without the container around it, and so
// are the services of compose.yaml. make release-check runs it.
package packaging
