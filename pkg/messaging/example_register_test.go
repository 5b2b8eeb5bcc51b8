package messaging_test

import (
	"context"
	"fmt"
	"log"
	"net/url"

	"github.com/warrenmq/warren/pkg/messaging"
)

// An adapter registers its scheme when its package is imported.
func init() {
	messaging.Register("example", func(ctx context.Context, u *url.URL) (messaging.Broker, error) {
		fmt.Println("opening", u.Host)
		return messaging.Open(ctx, "memory://") // its own Broker, in this place
	})
}

// From then on Open knows it.
func ExampleRegister() {
	broker, err := messaging.Open(context.Background(), "example://somewhere/")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(broker.Close(context.Background()))
	// Output:
	// opening somewhere
	// <nil>
}
