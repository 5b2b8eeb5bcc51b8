package watermill_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// envRestart makes this program the command that Watermill's suite restarts the
// broker with: it asks the test that owns the node, at this URL.
const envRestart = "WATERMILL_TEST_RESTART"

func TestMain(m *testing.M) {
	if url := os.Getenv(envRestart); url != "" {
		if _, err := http.Post(url, "", nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// The suite's own, which it never ends.
	rabbitmqtest.Main(m, goleak.IgnoreTopFunction("github.com/ThreeDotsLabs/watermill/pubsub/tests.TestReconnect.func2"))
}
