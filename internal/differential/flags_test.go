package differential

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDifferentialFlags keeps go test ./... -rapid.checks=500 working: a test
// binary without rapid does not know the flag and fails.
func TestDifferentialFlags(t *testing.T) {
	t.Parallel()
	const format = `{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}{{end}}`
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", format, "github.com/warrenmq/warren/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && !slices.Contains(fields, "pgregory.net/rapid") {
			t.Errorf("the tests of %s do not import rapid; add to one of their files:\n"+
				"import _ \"pgregory.net/rapid\" // its flags: go test ./... -rapid.checks=N gives them to every package", fields[0])
		}
	}
}
