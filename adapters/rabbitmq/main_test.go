package rabbitmq

import (
	"testing"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }
