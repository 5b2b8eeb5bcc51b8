// Package sqlstore is a [middleware.Store] in a database, for effects that must
// happen once: a handler that writes in the store's own transaction commits
// what it did and the mark together, or neither.
//
//	store, err := sqlstore.New(db, sqlstore.Options{Consumer: "billing"})
//	err = store.Create(ctx)
//	handle := messaging.Chain(func(ctx context.Context, d *messaging.Delivery) error {
//		_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO invoices ...")
//		return err
//	}, middleware.Deduplicate(store, nil))
//
// It works on every database/sql driver whose database knows INSERT ... ON
// CONFLICT DO NOTHING and parameters written $1: tested are PostgreSQL and
// SQLite. With SQLite, which has one writer at a time, set a busy timeout
// (_pragma=busy_timeout(5000) in modernc.org/sqlite), or concurrent handlers
// fail and are tried again.
//
// # What a failure leaves
//
// The mark is the first thing in the transaction and the commit the last.
// Before the commit, whatever fails (the handler, the connection, the process)
// undoes both, and the message is tried again. A commit that fails without an
// answer is tried again too: if it did take effect, the mark is there, and the
// message is skipped. Where the database is down, each message fails with the
// driver's error. Nothing is lost, and nothing takes effect twice.
package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/warrenmq/warren/pkg/messaging/middleware"
)

// DefaultTable is where marks are kept, unless Options.Table says otherwise.
const DefaultTable = "handled_messages"

// maxKey is the longest key that is stored as it is, in bytes.
const maxKey = 255

// Options says where a [Store] keeps its marks. The zero value is a good
// default for a database with one consumer.
type Options struct {
	// Table is the table's name, with its schema where it has one. Defaults to
	// [DefaultTable].
	Table string
	// Consumer keeps the marks of several consumers in one table apart: each
	// group of a topic handles the same messages. Defaults to "".
	Consumer string
	// Tx are the options of the transactions. Defaults to nil: the database's.
	Tx *sql.TxOptions
}

// Store is a [middleware.Store] in a database. Its methods may be called by
// any number of goroutines.
type Store struct {
	db   *sql.DB
	opts Options
}

var _ middleware.Store = (*Store)(nil)

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New returns a store in db, which stays the caller's to close. It opens
// nothing. The error is that of a table name which is none.
func New(db *sql.DB, opts Options) (*Store, error) {
	if opts.Table == "" {
		opts.Table = DefaultTable
	}
	if !tableName.MatchString(opts.Table) {
		return nil, fmt.Errorf("sqlstore: Options.Table is %q; use letters, digits and underscores, as in schema.table", opts.Table)
	}
	return &Store{db: db, opts: opts}, nil
}

// Create creates the table where it is missing. Who manages the schema
// elsewhere does without:
//
//	CREATE TABLE handled_messages (
//		consumer    TEXT   NOT NULL,
//		message_key TEXT   NOT NULL,
//		handled_at  BIGINT NOT NULL, -- milliseconds since 1970
//		PRIMARY KEY (consumer, message_key)
//	)
func (s *Store) Create(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+s.opts.Table+` (
		consumer TEXT NOT NULL, message_key TEXT NOT NULL, handled_at BIGINT NOT NULL,
		PRIMARY KEY (consumer, message_key))`)
	if err == nil {
		return nil
	}
	// PostgreSQL lets two that create it at once collide: is it there now?
	if _, there := s.db.ExecContext(ctx, "DELETE FROM "+s.opts.Table+" WHERE 1 = 0"); there == nil {
		return nil
	}
	return fmt.Errorf("sqlstore: create table %s: %w", s.opts.Table, err)
}

// Once implements [middleware.Store]. handle runs in a transaction, which it
// gets by [Tx] and does not end. Where handle is running for the same key, also
// in another process, the database makes it wait. The transaction is undone
// when ctx ends.
func (s *Store) Once(ctx context.Context, key string, handle func(context.Context) error) (called bool, err error) {
	tx, err := s.db.BeginTx(ctx, s.opts.Tx)
	if err != nil {
		return false, fmt.Errorf("sqlstore: begin a transaction: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing, and otherwise there is an error or a panic already
	if first, err := s.mark(ctx, tx, key); err != nil || !first {
		return false, err
	}
	if err := handle(context.WithValue(ctx, txKey{}, tx)); err != nil {
		return true, err
	}
	if err := tx.Commit(); err != nil {
		return true, fmt.Errorf("sqlstore: commit what the handler did, with the mark of %s: %w", s.opts.Table, err)
	}
	return true, nil
}

// mark says whether key was not marked before.
func (s *Store) mark(ctx context.Context, tx *sql.Tx, key string) (first bool, err error) {
	if key == "" {
		return true, nil
	}
	result, err := tx.ExecContext(ctx, "INSERT INTO "+s.opts.Table+
		" (consumer, message_key, handled_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		s.opts.Consumer, storable(key), time.Now().UnixMilli())
	if err != nil {
		return false, fmt.Errorf("sqlstore: mark in %s: %w", s.opts.Table, err)
	}
	rows, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("sqlstore: mark in %s: %w", s.opts.Table, err)
	}
	return rows > 0, nil
}

// Forget deletes the marks of this consumer that were made before t, and
// returns how many. Nobody else does: call it now and then, with a time that no
// duplicate can be older than, such as a week ago.
func (s *Store) Forget(ctx context.Context, t time.Time) (int64, error) {
	result, err := s.db.ExecContext(ctx, "DELETE FROM "+s.opts.Table+" WHERE consumer = $1 AND handled_at < $2",
		s.opts.Consumer, t.UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("sqlstore: forget marks in %s: %w", s.opts.Table, err)
	}
	return result.RowsAffected()
}

// storable is key as a database takes it: a foreign producer's ID may be any
// bytes, and a text is not.
func storable(key string) string {
	if len(key) <= maxKey && utf8.ValidString(key) && !strings.ContainsRune(key, 0) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

type txKey struct{}

// Tx returns the transaction that a handler runs in, nil where there is none.
// What the handler does in it takes effect once, together with the mark.
func Tx(ctx context.Context) *sql.Tx {
	tx, _ := ctx.Value(txKey{}).(*sql.Tx)
	return tx
}
