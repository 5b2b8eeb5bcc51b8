package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

const readme = "README.md"

// What stands between these lines of README.md is written by make parity.
const (
	summaryBegins = "<!-- make parity writes this -->\n"
	summaryEnds   = "<!-- to here -->\n"
)

// summary is how many cases each column of the page keeps, as a table.
func summary(page string) (string, error) {
	var titles, totals []string
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(strings.Trim(strings.TrimSpace(line), "|")), "|")
		switch {
		case len(cells) < 3:
		case titles == nil:
			titles = cells[2:]
		case strings.Contains(cells[1], "cases kept"):
			totals = cells[2:]
		}
	}
	if len(titles) == 0 || len(titles) != len(totals) {
		return "", fmt.Errorf("the page has totals for %d of %d adapters", len(totals), len(titles))
	}
	var b strings.Builder
	b.WriteString("| | cases kept |\n|---|---|\n")
	for i, title := range titles {
		row(&b, []string{strings.TrimSpace(title), strings.Trim(totals[i], "* ")})
	}
	return b.String(), nil
}

// withSummary is README.md with the page's summary.
func withSummary(text, page string) (string, error) {
	table, err := summary(page)
	if err != nil {
		return "", err
	}
	before, rest, begins := strings.Cut(text, summaryBegins)
	_, after, ends := strings.Cut(rest, summaryEnds)
	if !begins || !ends {
		return "", errors.New(readme + " has no place for the summary")
	}
	return before + summaryBegins + table + summaryEnds + after, nil
}

// writeSummary brings README.md up to date.
func writeSummary(page string) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	updated, err := withSummary(string(text), page)
	if err != nil {
		return err
	}
	return os.WriteFile(readme, []byte(updated), 0o644)
}
