package main

import (
	"regexp"
	"slices"
	"strings"
)

// varies is what differs from run to run, and what it is compared as. A whole
// number is compared as it is: it counts something.
var varies = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`), ""},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "<uuid>"},
	{regexp.MustCompile(`\b\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`), "<time>"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(ns|µs|us|ms|s|m|h))+\b`), "<duration>"},
	{regexp.MustCompile(`\b\d+\.\d+( (ns|µs|us|ms|s)\b)?`), "<decimal>"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// plain is a line without what varies.
func plain(line string) string {
	for _, v := range varies {
		line = v.what.ReplaceAllString(line, v.as)
	}
	return strings.TrimSpace(line)
}

// lines are those of a text that have something in them.
func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = plain(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// leftOut is a line that stands for any number of lines, or, in a line, for
// any text.
const leftOut = "..."

// same tells whether a line of output is what the page shows.
func same(shown, line string) bool {
	if !strings.Contains(shown, leftOut) {
		return shown == line
	}
	parts := strings.Split(shown, leftOut)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(strings.TrimSpace(part))
	}
	return regexp.MustCompile("^" + strings.Join(parts, `.*`) + "$").MatchString(line)
}

// matches tells whether the output's lines are those that the page shows.
func matches(shown, output []string) bool {
	// ends are the numbers of output lines that the lines of the page so far
	// can stand for.
	ends := map[int]bool{0: true}
	for _, line := range shown {
		next := map[int]bool{}
		if line == leftOut {
			for i := slices.Min(keys(ends)); i <= len(output); i++ {
				next[i] = true
			}
		} else {
			for i := range ends {
				if i < len(output) && same(line, output[i]) {
					next[i+1] = true
				}
			}
		}
		if ends = next; len(ends) == 0 {
			return false
		}
	}
	return ends[len(output)]
}

func keys(m map[int]bool) []int {
	all := make([]int, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	return all
}

// matchesInAnyOrder is matches for what several do at a time.
func matchesInAnyOrder(shown, output []string) bool {
	rest := slices.Clone(output)
	more := false
	for _, line := range shown {
		if line == leftOut {
			more = true
			continue
		}
		i := slices.IndexFunc(rest, func(l string) bool { return same(line, l) })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return more || len(rest) == 0
}
