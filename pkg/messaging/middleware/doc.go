// Package middleware has what most services put around their handlers:
// [Recover], [Timeout], [Log] and [Deduplicate].
//
//	handle = messaging.Chain(handle,
//		middleware.Log(nil),     // outermost: it sees what became of everything
//		middleware.Recover(nil), // a panic is an error from here on
//		middleware.Timeout(time.Minute),
//		middleware.Deduplicate(middleware.NewMemoryStore(10_000), nil))
//
// Like the package messaging, it imports the standard library only. What needs
// more has a package of its own, so that nobody gets a dependency unasked:
//
//   - middleware/sqlstore keeps the marks of Deduplicate in a database, in one
//     transaction with what the handler does there;
//   - middleware/ratelimit handles no more messages a second than a limiter of
//     golang.org/x/time/rate lets through;
//   - middleware/breaker stops trying for a while when everything fails, with
//     the circuit breaker of github.com/sony/gobreaker.
//
// None of them changes a verdict that the handler gave, unless it says so, and
// none starts a goroutine: when Subscribe has returned, nothing of them is
// left running.
package middleware
