package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// The markers in a page between which a run writes its table.
const (
	pageBegin = "<!-- chaos: what follows is written by make chaos -->"
	pageEnd   = "<!-- chaos: end -->"
)

// WritePage puts the table of a run between the markers of a page.
func WritePage(file string, faults []Fault, results map[string]Result, times func(Fault) int) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(pageBegin))
	_, after, found2 := bytes.Cut(rest, []byte(pageEnd))
	if !found || !found2 {
		return errors.New(file + " lacks the markers for the table: " + pageBegin + " and " + pageEnd)
	}
	page := string(before) + pageBegin + "\n" + table(faults, results, times) + pageEnd + string(after)
	return os.WriteFile(file, []byte(page), 0o644)
}

func table(faults []Fault, results map[string]Result, times func(Fault) int) string {
	var b strings.Builder
	b.WriteString("\n| fault | times | may | confirmed | delivered | lost | phantom | duplicated | out of order | measured |\n")
	b.WriteString("|---|--:|---|--:|--:|--:|--:|--:|--:|---|\n")
	var all []Result
	for _, f := range faults {
		r := results[f.Name]
		all = append(all, r)
		fmt.Fprintf(&b, "| **%s**: %s | %d | %s | %d | %d | %d | %d | %d | %d | %s |\n", f.Name, f.What, times(f), f.May(),
			r.Confirmed, r.Delivered, r.Lost, r.Phantom, r.Duplicated, r.Disordered, strings.Join(r.Figures, "; "))
	}
	fmt.Fprintf(&b, "\n`%s`\n\n", Summary(all))
	return b.String()
}
