package packaging

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// release is a version that the tests give the commit at hand, as if it were
// that release.
const release = "v0.98.76"

const modulePath = "github.com/warrenmq/warren"

// TestVersionOfACheckout: the version that go build records, as a developer, a
// Dockerfile and a release build it.
func TestVersionOfACheckout(t *testing.T) {
	dir := clone(t)
	version := func() string {
		program := filepath.Join(t.TempDir(), "consumer")
		output(t, dir, []string{"GOFLAGS="}, "go", "build", "-trimpath", "-buildvcs=true", "-o", program, "./apps/consumer")
		return output(t, dir, nil, program, "--version")
	}
	says(t, version(), `v\d+\.\d+\.\d+\S* \(commit [0-9a-f]{12}\)`)

	output(t, dir, nil, "git", "tag", release)
	says(t, version(), release+` \(commit [0-9a-f]{12}\)`)

	if err := os.Remove(filepath.Join(dir, "LICENSE")); err != nil {
		t.Fatal(err)
	}
	says(t, version(), release+`\+dirty \(commit [0-9a-f]{12}, modified\)`)
}

// TestVersionOfGoInstall: go install of a released version, from a module
// proxy that has this commit as one.
func TestVersionOfGoInstall(t *testing.T) {
	proxy, dir := publish(t), t.TempDir()
	proxies := []string{"file://" + proxy, "file://" + goEnv(t, "GOMODCACHE") + "/cache/download", goEnv(t, "GOPROXY")}
	output(t, dir, []string{
		"GOPROXY=" + strings.Join(proxies, ","),
		"GONOSUMDB=" + modulePath,
		"GOFLAGS=-modcacherw",
		"GOMODCACHE=" + filepath.Join(dir, "cache"), // what is published here must not stay
		"GOBIN=" + dir,
	}, "go", "install", modulePath+"/apps/consumer@"+release)
	says(t, output(t, dir, nil, filepath.Join(dir, "consumer"), "--version"), release)
}

// clone is a checkout of the commit at hand.
func clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	output(t, root(t), nil, "git", "clone", "--quiet", ".", dir)
	return dir
}

func goEnv(t *testing.T, name string) string {
	return strings.TrimSpace(output(t, root(t), nil, "go", "env", name))
}

// says fails the test unless a program's --version is version, and the Go that
// built it.
func says(t *testing.T, line, version string) {
	t.Helper()
	if !regexp.MustCompile(`^consumer version ` + version + `, go1\.\S+\n$`).MatchString(line) {
		t.Errorf("--version says %q, want version %s", line, version)
	}
}

// publish makes a module proxy of files that has the commit at hand as
// release, and returns its folder.
func publish(t *testing.T) string {
	t.Helper()
	dir, commit := t.TempDir(), clone(t)
	versions := filepath.Join(dir, modulePath, "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(map[string]any{"Version": release, "Time": time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list":            release + "\n",
		release + ".info": string(info),
		release + ".mod":  read(t, filepath.Join(commit, "go.mod")),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(filepath.Join(versions, release+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := zip.CreateFromDir(file, module.Version{Path: modulePath, Version: release}, commit); err != nil {
		t.Fatal(err)
	}
	return dir
}
