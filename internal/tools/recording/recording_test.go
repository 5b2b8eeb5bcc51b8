package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPicture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.svg")
	const script = `printf ' [x] <&"\033[1m\n'; sleep 0.2; echo '訊息'`
	if err := run(t.Context(), []string{"-o", path, "sh", "-c", script}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var svg struct {
		Style string   `xml:"style"`
		Texts []string `xml:"text"`
	}
	if err := xml.Unmarshal(text, &svg); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if want := []string{"$ sh -c " + script, ` [x] <&"[1m`, "訊息"}; len(svg.Texts) != 3 || svg.Texts[1] != want[1] || svg.Texts[2] != want[2] {
		t.Errorf("the lines are %q, want %q", svg.Texts, want)
	}
	var at []float64
	for _, m := range regexp.MustCompile(`\{0%,([0-9.]+)%`).FindAllStringSubmatch(svg.Style, -1) {
		percent, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, percent)
	}
	// 0.2 s of at least 5.2 s.
	if len(at) != 2 || at[1] < at[0]+1 {
		t.Errorf("the lines come at %v %%, and the second was 0.2 s later", at)
	}
}

func TestNoPictureOfAFailure(t *testing.T) {
	for name, args := range map[string][]string{
		"status":     {"sh", "-c", "echo a; exit 3"},
		"no output":  {"true"},
		"no program": {"./no-such-program"},
		"no command": nil,
	} {
		path := filepath.Join(t.TempDir(), "p.svg")
		if err := run(t.Context(), append([]string{"-o", path}, args...)); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: there is a picture", name)
		}
	}
}
