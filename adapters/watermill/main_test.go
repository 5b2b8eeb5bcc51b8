package watermill_test

import (
	"testing"

	_ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }
