package apps

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/cli"
	"github.com/warrenmq/warren/internal/cli/clitest"
	"github.com/warrenmq/warren/internal/rabbitmqtest"
	"github.com/warrenmq/warren/internal/testsecret"
)

var serving = regexp.MustCompile(`Serving (http://[^/]+)/healthz`)

// served returns where a program with --http serves.
func (p *process) served(t *testing.T) string {
	t.Helper()
	p.stderr.Await(t, "/healthz", 1)
	found := serving.FindStringSubmatch(p.stderr.String())
	if found == nil {
		t.Fatalf("no address in %q", &p.stderr)
	}
	return found[1]
}

// curl is what curl shows. Where nobody answers, the status is 0.
func curl(url string) (status int, body string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: clitest.Timeout}
	answer, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// awaitCurl asks until the answer is as wanted.
func awaitCurl(t *testing.T, url string, status int, says string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(clitest.Timeout)
	for {
		got, body := curl(url)
		if strings.Contains(body, testsecret.Password) {
			t.Fatalf("%s shows the password", url)
		}
		if got == status && strings.Contains(body, says) {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s to be %d and say %q; it is %d %q", url, status, says, got, body)
		}
	}
}

// What curl shows of a consumer before, during and after a restart of its
// broker.
func TestCurlDuringABrokerRestart(t *testing.T) {
	t.Parallel()
	node := rabbitmqtest.NewNode(t, rabbitmqtest.Options{})
	c := app(t, node.URL(), "consumer", "--http", "0", "--fail-on", "bad", "--max-attempts", "2", "--retry-min", "10ms")
	url := c.served(t)
	awaitCurl(t, url+"/readyz", http.StatusOK, "ready\n")
	awaitCurl(t, url+"/healthz", http.StatusOK, "alive\n")
	app(t, node.URL(), "producer", "good", "bad").ends(t, cli.StatusOK)
	c.stdout.Await(t, " [!] Failed 'bad'", 2)
	const where = `{messaging_destination_name="hello"} `
	for _, line := range []string{
		`warren_connection_state{state="connected"} 1`,
		`warren_connection_blocked 0`,
		`warren_connection_reconnects_total 0`,
		`warren_subscriptions_active 1`,
		"warren_messages_unsettled" + where + "0",
		"warren_messages_retried_total" + where + "1",
		"warren_messages_dead_lettered_total" + where + "1",
		`service_name="consumer"`,
	} {
		awaitCurl(t, url+"/metrics", http.StatusOK, line)
	}
	const consumed = `messaging_client_consumed_messages_total{messaging_destination_name="hello",messaging_operation_name="process",` +
		`messaging_system="rabbitmq",server_address="127.0.0.1",server_port="`
	awaitCurl(t, url+"/metrics", http.StatusOK, consumed+strings.Split(node.Addr(), ":")[1]+`"} 3`)

	if err := node.Stop(); err != nil {
		t.Fatal(err)
	}
	awaitCurl(t, url+"/readyz", http.StatusServiceUnavailable, "not ready: connecting since")
	awaitCurl(t, url+"/healthz", http.StatusOK, "alive\n")
	awaitCurl(t, url+"/metrics", http.StatusOK, `warren_connection_state{state="connected"} 0`)
	awaitCurl(t, url+"/metrics", http.StatusOK, `warren_subscriptions_active 0`)

	if err := node.StartAgain(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	awaitCurl(t, url+"/readyz", http.StatusOK, "ready\n")
	awaitCurl(t, url+"/metrics", http.StatusOK, `warren_connection_state{state="connected"} 1`)
	awaitCurl(t, url+"/metrics", http.StatusOK, `warren_connection_reconnects_total 1`)
	app(t, node.URL(), "producer", "again").ends(t, cli.StatusOK)
	awaitCurl(t, url+"/metrics", http.StatusOK, consumed+strings.Split(node.Addr(), ":")[1]+`"} 4`)
	c.signal(t, syscall.SIGTERM)
	c.ends(t, cli.StatusOK)
}

// A program that is told to end is alive and not ready for as long as it takes.
func TestNotReadyWhileDraining(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	app(t, url, "producer", "--queue", queue, "long.").ends(t, cli.StatusOK)
	c := app(t, url, "consumer", "--queue", queue, "--work", "1h", "--http", "127.0.0.1:0")
	c.stdout.Await(t, "'long.'", 1)
	at := c.served(t)
	awaitCurl(t, at+"/readyz", http.StatusOK, "ready\n")
	awaitCurl(t, at+"/metrics", http.StatusOK, `warren_messages_unsettled{messaging_destination_name="`+queue+`"} 1`)
	c.signal(t, syscall.SIGTERM)
	awaitCurl(t, at+"/readyz", http.StatusServiceUnavailable, "not ready: draining\n")
	awaitCurl(t, at+"/healthz", http.StatusOK, "alive\n")
	c.signal(t, syscall.SIGTERM)
	c.ends(t, cli.StatusInterrupted)
}

// A producer that runs for long is watched like a consumer.
func TestProducerIsServed(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	cmd := command(t, url, "producer", "--queue", queue, "--http", "127.0.0.1:0", "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, cmd, io.Discard)
	at := p.served(t)
	awaitCurl(t, at+"/readyz", http.StatusOK, "ready\n")
	if _, err := fmt.Fprintln(stdin, "line"); err != nil {
		t.Fatal(err)
	}
	awaitCurl(t, at+"/metrics", http.StatusOK, `messaging_client_sent_messages_total{messaging_destination_name="`+queue+`"`)
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	p.ends(t, cli.StatusOK)
}

// Where the port is taken, nothing is taken from the queue.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	app(t, url, "producer", "--queue", queue).ends(t, cli.StatusOK)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	for _, name := range []string{"consumer", "producer"} {
		p := app(t, url, name, "--queue", queue, "--http", addr)
		p.ends(t, cli.StatusFailed)
		if text := p.stderr.String(); !strings.HasPrefix(text, name+": --http "+addr+": listen tcp "+addr) || !strings.Contains(text, "in use") {
			t.Errorf("%s says %q", name, text)
		}
	}
	if d := clitest.Receive(t, broker, queue, 1)[0]; d.Attempt != 1 || d.Redelivered {
		t.Errorf("the message is at attempt %d, redelivered: %t", d.Attempt, d.Redelivered)
	}
}

// What is wrong with the environment is said before anything is done.
func TestEnvironmentThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ variable, says string }{
		{"MESSAGING_URL_FILE=/no/such/file", "MESSAGING_URL_FILE: open /no/such/file: no such file or directory"},
		{"MESSAGING_URL_FILE=/", "MESSAGING_URL_FILE: read /: is a directory"},
		{"OTEL_TRACES_EXPORTER=nonsense", "unusable OTEL_* variables: traces: "},
		{"OTEL_METRICS_EXPORTER=nonsense", "unusable OTEL_* variables: metrics: "},
	} {
		for _, name := range []string{"consumer", "producer"} {
			cmd := command(t, "", name)
			cmd.Env = append(cmd.Env, test.variable)
			p := start(t, cmd, io.Discard)
			p.ends(t, cli.StatusUsage)
			if !strings.Contains(p.stderr.String(), test.says) {
				t.Errorf("%s, %s: standard error is %q", name, test.variable, &p.stderr)
			}
		}
	}
}

// An exporter that does not answer costs no message and no more than seconds in
// the end.
func TestExporterThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	url, _, queue := rabbit(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String(),
			"OTEL_EXPORTER_OTLP_TIMEOUT=50", "OTEL_BSP_EXPORT_TIMEOUT=100", "OTEL_BSP_SCHEDULE_DELAY=10")
		return cmd
	}
	const n = 200
	c := start(t, silent(command(t, url, "consumer", "--queue", queue)), io.Discard)
	p := start(t, silent(command(t, url, "producer", "--queue", queue, "--count", fmt.Sprint(n))), io.Discard)
	p.ends(t, cli.StatusOK)
	c.stdout.Await(t, " [x] Received", n)
	c.stderr.Await(t, "telemetry is not exported", 1)
	c.signal(t, syscall.SIGTERM)
	c.ends(t, cli.StatusOK)
	if got := strings.Count(c.stderr.String(), "telemetry is not exported"); got != 1 {
		t.Errorf("the consumer says %d times that telemetry is not exported, want once", got)
	}
}

// With --log-format json, all of standard error is JSON, and each line about a
// message has its ID and its trace: one from the producer to the dead letter.
func TestStructuredLogs(t *testing.T) {
	t.Parallel()
	url, broker, queue := rabbit(t)
	logs := []string{"--log-format", "json", "--log-level", "info", "--queue", queue}
	p := app(t, url, "producer", append(logs, "bad")...)
	p.ends(t, cli.StatusOK)
	c := app(t, url, "consumer", append(logs, "--fail-on", "bad", "--max-attempts", "2", "--retry-min", "10ms")...)
	c.stderr.Await(t, "dead-lettering message", 1)
	dead := clitest.Receive(t, broker, queue+".dead", 1)[0]
	c.signal(t, syscall.SIGTERM)
	c.ends(t, cli.StatusOK)

	traceID := strings.Split(dead.Headers["traceparent"], "-")[1]
	var got []string
	for _, line := range append(p.stderr.Lines(), c.stderr.Lines()...) {
		var entry struct {
			Msg, ID string
			TraceID string `json:"trace_id"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if entry.ID == "" {
			continue
		}
		got = append(got, entry.Msg)
		if entry.ID != dead.ID || entry.TraceID != traceID {
			t.Errorf("%s: want the ID %s and the trace %s", line, dead.ID, traceID)
		}
	}
	if want := "sent message, handler failed, handler failed, dead-lettering message"; strings.Join(got, ", ") != want {
		t.Errorf("the lines about the message are %q, want %s", got, want)
	}
}
