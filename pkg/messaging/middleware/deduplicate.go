package middleware

import (
	"context"
	"log/slog"

	"github.com/warrenmq/warren/pkg/messaging"
)

// Store remembers what has been handled. [NewMemoryStore] is one, and package
// middleware/sqlstore has one for databases.
type Store interface {
	// Once calls handle, unless key is marked, and marks key if handle
	// returned nil. It says whether it called handle, and returns its error as
	// it is. It is called by many goroutines; where handle is running for the
	// same key, it waits for that to end. After an error, a panic or
	// runtime.Goexit of handle, key is not marked. An error of the store's own
	// means that the message is to be tried again: whether handle is then
	// called again must not depend on luck, so what handle did and the mark
	// either both hold or neither does, as far as the store can see to it. An
	// empty key is never marked.
	Once(ctx context.Context, key string, handle func(ctx context.Context) error) (called bool, err error)
}

// Deduplicate handles each message once, as far as store remembers. Delivery is
// at least once, so a duplicate comes when a consumer crashes, a connection is
// lost, or a producer publishes again what was unconfirmed.
//
// key says which messages are the same. nil is by ID, which every message of
// this library has; one of a foreign producer without an ID is handled without
// a check, and so is what key returns "" for. Two groups of a topic see the
// same IDs: give each a store, or a name in it, of its own.
//
// Verdict: a duplicate is acknowledged, without the handler. Otherwise the
// handler's own: what failed is not marked, so it is handled when it comes
// again, by a retry or out of the dead letters. An error of the store is like
// any other error: nothing is marked, and the message is tried again as
// Source.Retry says and in the end dead-lettered. To wait instead while a
// database is down, put middleware/breaker around it.
//
// Draining: a duplicate that waits for the same message to be handled is
// drained with it.
func Deduplicate(store Store, key func(*messaging.Delivery) string) messaging.Middleware {
	if key == nil {
		key = func(d *messaging.Delivery) string { return d.ID }
	}
	return func(next messaging.Handler) messaging.Handler {
		return func(ctx context.Context, d *messaging.Delivery) error {
			key := key(d)
			called, err := store.Once(ctx, key, func(ctx context.Context) error { return next(ctx, d) })
			if !called && err == nil {
				slog.DebugContext(ctx, "skipped a duplicate", "id", d.ID, "key", key, "from", d.From)
			}
			return err
		}
	}
}
