package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"
	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/internal/handlertest"
	"github.com/warrenmq/warren/internal/postgrestest"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
	"github.com/warrenmq/warren/pkg/messaging/middleware/sqlstore"
)

var (
	work    = handlertest.Work
	errBoom = errors.New("boom")
)

func TestSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := open(t, "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	testStore(t, db)
}

func TestPostgreSQL(t *testing.T) {
	server := postgrestest.New(t)
	db := open(t, "postgres", server.DSN())
	db.SetMaxIdleConns(10)
	testStore(t, db)
	t.Run("killed between effect and mark", func(t *testing.T) { testKilled(t, db, server) })
	t.Run("down", func(t *testing.T) { testDown(t, db, server) })
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	exec(t, db, "CREATE TABLE effects (id TEXT)")
	return db
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// testStore is what every database must do.
func testStore(t *testing.T, db *sql.DB) {
	for name, f := range map[string]func(*testing.T, *sql.DB){
		"once":              testOnce,
		"failures undo":     testFailuresUndo,
		"at once":           testAtOnce,
		"consumers":         testConsumers,
		"any key":           testAnyKey,
		"forget":            testForget,
		"create at once":    testCreateAtOnce,
		"without a table":   testWithoutTable,
		"cut in the middle": testCut,
	} {
		t.Run(name, func(t *testing.T) {
			exec(t, db, "DELETE FROM effects")
			f(t, db)
		})
	}
}

// newStore returns a store for a consumer that is the test's own.
func newStore(t *testing.T, db *sql.DB, consumer string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(db, sqlstore.Options{Consumer: t.Name() + consumer})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// write is a handler whose effect is a row.
func write(ctx context.Context, d *messaging.Delivery) error {
	_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO effects (id) VALUES ($1)", d.ID)
	return err
}

func wantEffects(t *testing.T, db *sql.DB, want int) {
	t.Helper()
	var got int
	if err := db.QueryRow("SELECT count(*) FROM effects").Scan(&got); err != nil || got != want {
		t.Errorf("%d effects, %v; want %d", got, err, want)
	}
}

func testOnce(t *testing.T, db *sql.DB) {
	once := middleware.Deduplicate(newStore(t, db, ""), nil)
	handlertest.Serve(t, messaging.Source{Concurrency: 3}, once(write), func(b *memory.Broker) {
		for _, id := range []string{"a", "a", "b", "c", "b", "a"} {
			handlertest.Publish(t, b, work, &messaging.Message{ID: id})
		}
		if err := b.Inject(work, messaging.Message{}); err != nil { // without an ID: handled in a transaction all the same
			t.Fatal(err)
		}
		handlertest.Handled(t, b)
	})
	wantEffects(t, db, 4)
}

// What a handler wrote before it failed is undone, however it failed, and the
// message is handled when it comes again.
func testFailuresUndo(t *testing.T, db *sql.DB) {
	once := middleware.Deduplicate(newStore(t, db, ""), nil)
	var attempts []int
	failing := func(ctx context.Context, d *messaging.Delivery) error {
		attempts = append(attempts, d.Attempt)
		if err := write(ctx, d); err != nil {
			return err
		}
		switch d.Attempt {
		case 1:
			return errBoom
		case 2:
			panic("boom")
		case 3: // an error in the database that the handler ignores
			_, _ = sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO nothing_of_that_name VALUES (1)")
			return errBoom
		}
		return nil
	}
	src := messaging.Source{Retry: messaging.Retry{Min: time.Millisecond, Max: time.Millisecond}}
	handlertest.Serve(t, src, once(failing), func(b *memory.Broker) {
		handlertest.Publish(t, b, work, &messaging.Message{ID: "a"})
		handlertest.Handled(t, b)
		if n := len(b.DeadLetters(work)); n != 0 {
			t.Errorf("%d dead letters, want none", n)
		}
	})
	if want := []int{1, 2, 3, 4}; !slices.Equal(attempts, want) {
		t.Errorf("handled at attempts %v, want %v: a failure leaves no mark", attempts, want)
	}
	wantEffects(t, db, 1)
}

// Two consumers get the same message at the same time: one of them waits.
func testAtOnce(t *testing.T, db *sql.DB) {
	once := middleware.Deduplicate(newStore(t, db, ""), nil)
	var both sync.WaitGroup
	for range 8 {
		both.Go(func() {
			d := &messaging.Delivery{Message: messaging.Message{ID: "a"}}
			if err := once(write)(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	wantEffects(t, db, 1)
}

func testConsumers(t *testing.T, db *sql.DB) {
	for _, consumer := range []string{"billing", "shipping"} {
		once := middleware.Deduplicate(newStore(t, db, consumer), nil)
		for range 2 {
			if err := once(write)(t.Context(), &messaging.Delivery{Message: messaging.Message{ID: "a"}}); err != nil {
				t.Error(err)
			}
		}
	}
	wantEffects(t, db, 2)
}

func testAnyKey(t *testing.T, db *sql.DB) {
	s := newStore(t, db, "")
	keys := []string{"\x00", "a\x00b", "\xff\xfe", strings.Repeat("x", 5000), strings.Repeat("x", 5001), "日本語", "'; DROP TABLE effects; --"}
	for round, want := range []bool{true, false} {
		for _, key := range keys {
			called, err := s.Once(t.Context(), key, func(context.Context) error { return nil })
			if called != want || err != nil {
				t.Errorf("round %d, key %.20q: called %v, %v; want %v", round, key, called, err, want)
			}
		}
	}
}

func testForget(t *testing.T, db *sql.DB) {
	s, other := newStore(t, db, ""), newStore(t, db, "other")
	nothing := func(context.Context) error { return nil }
	for _, s := range []*sqlstore.Store{s, other} {
		if _, err := s.Once(t.Context(), "a", nothing); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		age  time.Duration
		want int64
	}{{time.Hour, 0}, {-time.Hour, 1}, {-time.Hour, 0}} {
		if n, err := s.Forget(t.Context(), time.Now().Add(-c.age)); n != c.want || err != nil {
			t.Errorf("forgot %d marks older than %v, %v; want %d", n, c.age, err, c.want)
		}
	}
	if called, _ := other.Once(t.Context(), "a", nothing); called {
		t.Error("another consumer's mark was forgotten")
	}
}

func testCreateAtOnce(t *testing.T, db *sql.DB) {
	s, err := sqlstore.New(db, sqlstore.Options{Table: "fresh"})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := s.Create(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func testWithoutTable(t *testing.T, db *sql.DB) {
	s, err := sqlstore.New(db, sqlstore.Options{Table: "missing"})
	if err != nil {
		t.Fatal(err)
	}
	called, err := s.Once(t.Context(), "a", func(context.Context) error { return nil })
	if called || err == nil || !strings.Contains(err.Error(), "sqlstore: mark in missing") {
		t.Errorf("called %v, %v; want an error that names the table", called, err)
	}
	if _, err := s.Forget(t.Context(), time.Now()); err == nil {
		t.Error("forgot marks of a table that is missing")
	}
}

// The subscription's shutdown timeout ends the context: what was written is
// undone, even where the handler then says that it is done.
func testCut(t *testing.T, db *sql.DB) {
	s := newStore(t, db, "")
	ctx, cut := context.WithCancel(t.Context())
	once := middleware.Deduplicate(s, nil)
	d := &messaging.Delivery{Message: messaging.Message{ID: "a"}}
	err := once(func(ctx context.Context, d *messaging.Delivery) error {
		err := write(ctx, d)
		cut()
		return err
	})(ctx, d)
	if err == nil {
		t.Error("a transaction that was cut is done")
	}
	wantEffects(t, db, 0)
	if err := once(write)(t.Context(), d); err != nil {
		t.Error(err)
	}
	wantEffects(t, db, 1)
}

// The server dies after the effect and before the commit.
func testKilled(t *testing.T, db *sql.DB, server *postgrestest.Server) {
	exec(t, db, "DELETE FROM effects")
	once := middleware.Deduplicate(newStore(t, db, ""), nil)
	var attempts []int
	h := func(ctx context.Context, d *messaging.Delivery) error {
		attempts = append(attempts, d.Attempt)
		if err := write(ctx, d); err != nil {
			return err
		}
		if d.Attempt > 1 {
			return nil
		}
		server.Kill()
		return server.StartAgain(ctx)
	}
	src := messaging.Source{Retry: messaging.Retry{MaxAttempts: 20, Min: 10 * time.Millisecond, Max: 10 * time.Millisecond}}
	handlertest.Serve(t, src, once(h), func(b *memory.Broker) {
		handlertest.Publish(t, b, work, &messaging.Message{ID: "a"}, &messaging.Message{ID: "a"})
		handlertest.Handled(t, b)
		if n := len(b.DeadLetters(work)); n != 0 {
			t.Errorf("%d dead letters, want none", n)
		}
	})
	if len(attempts) < 2 {
		t.Errorf("handled at attempts %v, want a second one", attempts)
	}
	wantEffects(t, db, 1)
}

// A database that is down is an error, the handler is not called, and the
// message ends up in the dead letters: a redrive brings it back.
func testDown(t *testing.T, db *sql.DB, server *postgrestest.Server) {
	exec(t, db, "DELETE FROM effects")
	once := middleware.Deduplicate(newStore(t, db, ""), nil)
	src := messaging.Source{Retry: messaging.Retry{MaxAttempts: 2, Min: time.Millisecond, Max: time.Millisecond}}
	handlertest.Serve(t, src, once(write), func(b *memory.Broker) {
		server.Kill()
		handlertest.Publish(t, b, work, &messaging.Message{ID: "a"})
		handlertest.Handled(t, b)
		dead := b.DeadLetters(work)
		if len(dead) != 1 || !strings.Contains(dead[0].Headers[messaging.HeaderDeadError], "sqlstore: begin a transaction") {
			t.Fatalf("dead letters: %v; want one, with the store's error", dead)
		}
		if err := server.StartAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := messaging.Redrive(t.Context(), b, messaging.Queue("work.dead"), messaging.RedriveOptions{}); err != nil {
			t.Fatal(err)
		}
		handlertest.Handled(t, b)
	})
	wantEffects(t, db, 1)
}

func TestTableName(t *testing.T) {
	for name, ok := range map[string]bool{
		"": true, "marks": true, "app.marks_2": true,
		"a b": false, "marks; DROP TABLE x": false, "2a": false, "a.b.c": false, `"a"`: false,
	} {
		if _, err := sqlstore.New(nil, sqlstore.Options{Table: name}); (err == nil) != ok {
			t.Errorf("table %q: %v, want ok %v", name, err, ok)
		}
	}
}

func TestTxOutsideOfAHandler(t *testing.T) {
	if tx := sqlstore.Tx(t.Context()); tx != nil {
		t.Errorf("got %v, want nil", tx)
	}
}
