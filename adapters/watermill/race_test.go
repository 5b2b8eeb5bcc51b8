//go:build race

package watermill_test

import (
	"os/exec"
	"testing"
)

// TestUniversalReconnectWithoutRace runs TestUniversalReconnect, which has a
// data race that is not ours, in a build without the detector.
func TestUniversalReconnectWithoutRace(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a RabbitMQ broker, and -short asks for the tests that need none")
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run=^TestUniversalReconnect$", ".").CombinedOutput()
	if err != nil {
		const most = 5000
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-most):])
	}
}
