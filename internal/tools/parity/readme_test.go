package main

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: the figures of README.md are those of the page.
func TestReadme(t *testing.T) {
	text := map[string]string{}
	for _, name := range []string{page, readme} {
		b, err := os.ReadFile("../../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		text[name] = string(b)
	}
	want, err := withSummary(text[readme], text[page])
	if err != nil {
		t.Fatal(err)
	}
	if text[readme] != want {
		t.Errorf("README.md is not what %s says: make parity writes both", page)
	}
}

func TestSummary(t *testing.T) {
	columns := []column{{title: "one"}, {title: "two"}}
	got, err := withSummary("a\n"+summaryBegins+"old\n"+summaryEnds+"b\n", render(columns, []results{{}, {}}, ""))
	if err != nil {
		t.Fatal(err)
	}
	begin := "a\n" + summaryBegins + "| | cases kept |\n|---|---|\n| one | 0 of "
	if !strings.HasPrefix(got, begin) || !strings.HasSuffix(got, " |\n"+summaryEnds+"b\n") {
		t.Errorf("README is\n%s", got)
	}
	for name, page := range map[string]string{"no table": "# Parity\n", "no totals": "| rule | what it says | memory |\n"} {
		if _, err := withSummary(got, page); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := withSummary("a\n", render(columns, []results{{}, {}}, "")); err == nil {
		t.Error("no place: no error")
	}
}
