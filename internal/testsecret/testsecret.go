// Package testsecret is the password of every server that the tests start, so
// that whoever sees it in a log knows that something has shown it. The runner
// of make test (internal/tools/gotest) fails where a test's output has it.
package testsecret

// Password may stand in a URL and in a connection string as it is.
const Password = "no-log-may-show-this"
