package messaging_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }

// envExamplesURL has the examples run on another broker than the one in memory.
// They use names such as "hello", and leave queues behind.
const envExamplesURL = "MESSAGING_EXAMPLES_URL"

// The examples are the same program with another URL, so this test is this test
// binary once more: the same code must print the same on RabbitMQ.
func TestExamplesOnRabbitMQ(t *testing.T) {
	url := rabbitmqtest.SharedNode(t).URL()
	names := strings.Fields(run(t, url, "-test.list=^Example"))
	out := run(t, url, "-test.run=^Example", "-test.v")
	for _, name := range names {
		if !strings.Contains(out, "--- PASS: "+name+" (") {
			t.Errorf("%s did not pass", name)
		}
	}
	if t.Failed() || len(names) == 0 {
		t.Errorf("%d examples; the output is:\n%s", len(names), out)
	}
}

// run is this test binary, with the examples on the broker at url.
func run(t *testing.T, url string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), envExamplesURL+"="+url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
