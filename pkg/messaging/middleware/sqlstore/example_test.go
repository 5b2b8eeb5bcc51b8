package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite"

	"github.com/warrenmq/warren/adapters/memory"
	"github.com/warrenmq/warren/pkg/messaging"
	"github.com/warrenmq/warren/pkg/messaging/middleware"
	"github.com/warrenmq/warren/pkg/messaging/middleware/sqlstore"
)

// The same transfer comes twice and is booked once: what the handler writes in
// the store's transaction is committed with the mark, or not at all.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own
	if _, err := db.Exec("CREATE TABLE bookings (amount INTEGER)"); err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.Options{Consumer: "accounts"})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Create(ctx); err != nil {
		log.Fatal(err)
	}

	broker := memory.New()
	defer broker.Close(context.Background())
	queue := messaging.Queue("transfers")
	_ = broker.Declare(ctx, messaging.QueueSpec{Name: queue.Name()})
	for range 2 {
		_ = broker.Publish(ctx, queue, &messaging.Message{ID: "transfer-1"})
	}
	_ = broker.Publish(ctx, queue, &messaging.Message{ID: "transfer-2"})

	book := func(ctx context.Context, d *messaging.Delivery) error {
		if d.ID == "transfer-2" {
			defer stop() // the last
		}
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO bookings (amount) VALUES (20)")
		return err
	}
	err = broker.Subscribe(ctx, messaging.Source{Address: queue},
		messaging.Chain(book, middleware.Deduplicate(store, nil)))
	if err != nil {
		log.Fatal(err)
	}
	var booked int
	_ = db.QueryRow("SELECT count(*) FROM bookings").Scan(&booked)
	fmt.Println("booked:", booked)
	// Output: booked: 2
}
