// Command parity runs the conformance suite on every adapter and on several
// RabbitMQ versions, and writes what it saw to docs/parity.md, rules down and
// adapters across, and the totals to README.md. Nothing there comes from anywhere but the run.
//
//	go run ./internal/tools/parity
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// column is one adapter, on one broker.
type column struct {
	title string
	must  bool // every rule must hold
	test  string
	pkg   string
	on    host
}

// host runs a package's test and gives its events, or says why it cannot.
type host interface {
	command(pkg, test string) (*exec.Cmd, error)
	version() string // of RabbitMQ there
}

const page = "docs/parity.md"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
}

func run() error {
	here, trixie := here{}, &chroot{release: "trixie"}
	columns := []column{
		{"memory", true, "TestConformance", "./adapters/memory", here},
		{"RabbitMQ " + here.version() + ", quorum", true, "TestConformance", "./adapters/rabbitmq", here},
		{"RabbitMQ " + here.version() + ", classic", true, "TestConformanceClassic", "./adapters/rabbitmq", here},
	}
	var absent string
	if err := trixie.prepare(); err != nil {
		absent = err.Error()
		fmt.Fprintln(os.Stderr, "parity: no RabbitMQ 4:", err)
	} else {
		columns = append(columns,
			column{"RabbitMQ " + trixie.version() + ", quorum", true, "TestConformance", "./adapters/rabbitmq", trixie},
			column{"RabbitMQ " + trixie.version() + ", classic", true, "TestConformanceClassic", "./adapters/rabbitmq", trixie})
	}
	columns = append(columns,
		column{"stock watermill-amqp", false, "TestConformanceAMQP", "./adapters/watermill", here},
		column{"Watermill GoChannel", false, "TestConformanceGoChannel", "./adapters/watermill", here})

	var results []results
	var failed []string
	for _, c := range columns {
		r, err := measure(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		fmt.Printf("%-28s %s\n%s", c.title, r.summary(), r.failures())
		if bad := r.bad(c.must); bad != "" {
			failed = append(failed, c.title+": "+bad)
		}
		results = append(results, r)
	}
	text := render(columns, results, absent)
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		return err
	}
	if err := writeSummary(text); err != nil {
		return err
	}
	fmt.Println("written:", page)
	if len(failed) > 0 {
		return fmt.Errorf("not kept:\n  %s", strings.Join(failed, "\n  "))
	}
	return nil
}
