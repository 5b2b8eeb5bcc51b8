package main

import (
	"fmt"
	"strings"

	"github.com/warrenmq/warren/pkg/messaging/messagingtest"
)

const head = `# Parity

What every adapter keeps of the rules, as a run of the conformance suite
([messagingtest](../pkg/messaging/messagingtest)) saw it. ` + "`make parity`" + ` writes this page anew.

✓ kept · – not kept, and the adapter says so, with the reason below · ✗ failed

`

// render writes the page: the totals, the table and the reasons.
func render(columns []column, all []results, absent string) string {
	var b strings.Builder
	b.WriteString(head)
	row(&b, append([]string{"rule", "what it says"}, titles(columns)...))
	b.WriteString(strings.Repeat("|---", len(columns)+2) + "|\n")
	var total []string
	for _, r := range all {
		total = append(total, fmt.Sprintf("**%d of %d**", r.count("pass"), len(messagingtest.Cases())))
	}
	row(&b, append([]string{"", "**cases kept**"}, total...))
	for _, c := range messagingtest.Cases() {
		cells := []string{c.Rule, c.Text}
		for _, r := range all {
			cells = append(cells, mark(r[c.Name].state))
		}
		row(&b, cells)
	}
	if absent != "" {
		fmt.Fprintf(&b, "\nRabbitMQ 4 was not to be had where this page was written: %s.\n", absent)
	}
	for i, c := range columns {
		reasons(&b, c.title, all[i])
	}
	return b.String()
}

func titles(columns []column) []string {
	var list []string
	for _, c := range columns {
		list = append(list, c.title)
	}
	return list
}

func mark(state string) string {
	switch state {
	case "pass":
		return "✓"
	case "missing":
		return "–"
	default:
		return "✗"
	}
}

func row(b *strings.Builder, cells []string) {
	for _, c := range cells {
		b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
	}
	b.WriteString("|\n")
}

// reasons lists what a column does not keep, and why.
func reasons(b *strings.Builder, title string, r results) {
	if r.count("missing") == 0 {
		return
	}
	fmt.Fprintf(b, "\n## What %s does not keep\n\n", title)
	for _, c := range messagingtest.Cases() {
		if r[c.Name].state == "missing" {
			fmt.Fprintf(b, "- %s: %s\n", c.Name, r[c.Name].missing)
		}
	}
}
