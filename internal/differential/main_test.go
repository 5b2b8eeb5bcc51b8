package differential

import (
	"flag"
	"os"
	"testing"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// usualChecks is how many programs run where -rapid.checks does not say it.
// Rapid's own default is 100, of which each takes a real broker a good part of
// a second.
const usualChecks = "30"

func TestMain(m *testing.M) {
	flag.Parse()
	given := os.Getenv("RAPID_CHECKS") != ""
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", usualChecks); err != nil {
			panic(err)
		}
	}
	rabbitmqtest.Main(m)
}
