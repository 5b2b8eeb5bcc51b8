package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The committed pictures are those of their descriptions.
func TestCommitted(t *testing.T) {
	files, err := filepath.Glob("../../../docs/patterns/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d descriptions, %v", len(files), err)
	}
	for _, file := range files {
		want, err := draw(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := os.ReadFile(target(file)); err != nil || string(got) != want {
			t.Errorf("%s is not what its description says (%v): run make pictures", target(file), err)
		}
		for d := xml.NewDecoder(strings.NewReader(want)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s is no XML: %v", target(file), err)
				break
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"queue a @ 0,0":                            "a picture has a title",
		"title a":                                  "a picture has a title and things",
		"title a\nqueue b @ 0":                     "line 2",
		"title a\nqueue b @ 0,0\nb -> c":           `line 3: "c" is on no line before`,
		"title a\nexchange b @ 0,0":                "is no thing",
		"title a & b\nservice <c> @ 0,0\n<c> -> d": "line 3",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
