package memory_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

// TestEveryDecisionIsHeldByACase is the test of the suite: it builds the adapter
// with a switch at each of the decisions, in an overlay and so without a trace
// in the real one, and switches them off one after another. A case of
// messagingtest must fail each time.
func TestEveryDecisionIsHeldByACase(t *testing.T) {
	overlay := writeOverlay(t, switched(t))
	goTest := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-timeout=1m",
		"-overlay="+overlay, "-run=^TestSwitchedOff$", ".")
	out, err := goTest.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", goTest, err, out)
	}
	if n := strings.Count(string(out), ": caught by "); n != len(decisions) {
		t.Errorf("%d decisions were caught, want %d", n, len(decisions))
	}
	t.Logf("%s", out)
}

// switched returns the adapter's files with a switch at each decision, by name.
func switched(t *testing.T) map[string]string {
	files := map[string]string{}
	for _, d := range decisions {
		if _, read := files[d.file]; !read {
			source, err := os.ReadFile(d.file)
			must(t, err)
			files[d.file] = string(source)
		}
		if n := strings.Count(files[d.file], d.is); n != 1 {
			t.Errorf("%s: %s has this text %d times, want once: %s", d.what, d.file, n, d.is)
		}
		instead := strings.ReplaceAll(d.instead, "OFF", fmt.Sprintf("off(%q)", d.what))
		files[d.file] = strings.Replace(files[d.file], d.is, instead, 1)
	}
	if t.Failed() {
		t.FailNow()
	}
	return files
}

// writeOverlay writes what go test -overlay takes.
func writeOverlay(t *testing.T, files map[string]string) string {
	here, err := os.Getwd()
	must(t, err)
	dir := t.TempDir()
	// What is switched off leaves goroutines that wait for ever, and is meant to.
	replace := map[string]string{filepath.Join(here, "leak_test.go"): ""}
	for name, source := range files {
		replace[filepath.Join(here, name)] = filepath.Join(dir, name)
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(source), 0o600))
	}
	for _, added := range []string{"off.go", "switched_test.go"} {
		replace[filepath.Join(here, added)] = filepath.Join(here, "testdata", "mutation", added)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	path := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(path, overlay, 0o600))
	return path
}

// TestDecisionsNameCases keeps the table honest.
func TestDecisionsNameCases(t *testing.T) {
	cases := map[string]bool{}
	for _, c := range messagingtest.Cases() {
		cases[c.Name] = true
	}
	names := map[string]bool{}
	for _, d := range decisions {
		if !cases[d.caught] {
			t.Errorf("%s: there is no case %q", d.what, d.caught)
		}
		if names[d.what] || !strings.Contains(d.instead, "OFF") {
			t.Errorf("%s: is there twice, or has no switch", d.what)
		}
		names[d.what] = true
	}
}
