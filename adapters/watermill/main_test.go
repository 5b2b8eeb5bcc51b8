package watermill_test

import (
	"testing"

	"github.com/warrenmq/warren/internal/rabbitmqtest"
)

func TestMain(m *testing.M) { rabbitmqtest.Main(m) }
