package apps

import (
	"os"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

// One group, which has patterns, and a consumer of its own, which gets
// everything.
func TestTopic(t *testing.T) {
	t.Parallel()
	url := rabbitmqtest.URL(t)
	topic := clitest.Topic(t, clitest.Open(t, url), "billing")
	billing := app(t, url, "consumer", "--topic", topic, "--group", "billing", "--key", "order.*.placed", "--key", "refund.#")
	audit := app(t, url, "consumer", "-t", topic)
	for _, c := range []*process{billing, audit} {
		c.stdout.Await(t, waiting, 1)
	}
	for _, key := range []string{"order.eu.shipped", "order.eu.placed", "refund"} {
		app(t, url, "producer", "--topic", topic, "--key", key, "of "+key).ends(t, cli.StatusOK)
	}
	billing.stdout.Await(t, waiting+" [x] Received 'of order.eu.placed' (key 'order.eu.placed')\n [x] Received 'of refund' (key 'refund')\n", 1)
	audit.stdout.Await(t, " [x] Received 'of refund'", 1)
	for c, summary := range map[*process]string{billing: "acknowledged 2", audit: "acknowledged 3"} {
		c.signal(t, os.Interrupt)
		c.ends(t, cli.StatusOK)
		c.stdout.Await(t, summary, 1)
	}
}

func TestTopicUsage(t *testing.T) {
	t.Parallel()
	const nobody = "amqp://127.0.0.1:1/" // who tries to send something fails with another status
	for _, test := range []struct{ command, says string }{
		{"producer --topic t --queue q", "--queue and --topic"},
		{"producer --topic t --declare missing", "--declare and --topic"},
		{"producer --topic=", "--topic"},
		{"producer --key k", "--key needs --topic"},
		{"producer --topic t --key=", "--key"},
		{"producer --delay -1s", "--delay"},
		{"producer --delay 10000h", "--delay"},
		{"producer --ttl 0s", "--ttl"},
		{"consumer --topic t --queue q", "--queue and --topic"},
		{"consumer --topic t --declare never", "--declare and --topic"},
		{"consumer --group g", "--group needs --topic"},
		{"consumer --topic t --group=", "--group"},
		{"consumer --key k", "--key needs --topic"},
		{"consumer --topic t --key a..b", `--key has "a..b"`},
		{"consumer --topic t --key=", `--key has ""`},
		{"consumer --topic t --key " + strings.Repeat("k", 256), "--key has"},
		{"consumer --topic t --mode get", "--mode get and --topic"},
	} {
		args := strings.Fields(test.command)
		p := app(t, nobody, args[0], args[1:]...)
		p.ends(t, cli.StatusUsage)
		if !strings.Contains(p.stderr.String(), test.says) {
			t.Errorf("%s: standard error does not say %q", test.command, test.says)
		}
		if p.stdout.String() != "" {
			t.Errorf("%s: something is on standard output", test.command)
		}
	}
}
