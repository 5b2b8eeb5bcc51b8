package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// page is a Markdown file, taken apart.
type page struct {
	path    string // from the root of the repository, with slashes
	blocks  []*block
	links   []link
	anchors map[string]bool
}

// block is what stands between two fences.
type block struct {
	line     int    // of its first line of text
	language string // as the fence says, "" where it says nothing
	text     string // ends with a newline, unless empty; a list's indentation is taken off
	notes    []*note
	settings settings
}

// settings hold from a note on to the end of the page.
type settings struct {
	prelude *note // for fragments of Go
	python  *note // for fragments of Python
	module  string
}

// note is what a page tells this program where its readers do not see it:
//
//	<!-- docs-check: verb argument
//	body
//	-->
type note struct {
	line     int // of its body
	verb     string
	argument string
	body     string
	used     bool
}

// note returns the block's note with that verb, or nil.
func (b *block) note(verb string) *note {
	for _, n := range b.notes {
		if n.verb == verb && !strings.HasPrefix(n.argument, "`") {
			n.used = true
			return n
		}
	}
	return nil
}

// command returns the block's note with that verb which is about a command:
// its argument begins with the beginning of the command, in backquotes. The
// rest of the argument is what it says of it.
func (b *block) command(verb, command string) (string, bool) {
	for _, n := range b.notes {
		beginning, rest, ok := strings.Cut(strings.TrimPrefix(n.argument, "`"), "`")
		if n.verb == verb && ok && n.argument[0] == '`' && strings.HasPrefix(command, beginning) {
			n.used = true
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), ":")), true
		}
	}
	return "", false
}

type link struct {
	line   int
	target string
}

// verbs are what a note can say. Those with true hold for the rest of the page.
var verbs = map[string]bool{
	"prelude": true, "python": true, "module": true,
	"skip": false, "continues": false, "run": false, "file": false, "fresh": false,
	"background": false, "status": false, "unordered": false,
}

func readPage(root, path string) (*page, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		return nil, err
	}
	return parsePage(path, string(text))
}

var (
	fence   = regexp.MustCompile("^( *)(`{3,}|~{3,})\\s*([^`\\s]*)")
	heading = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*\s*$`)
)

// reader reads a page line by line.
type reader struct {
	page     *page
	lines    []string
	at       int // the next line
	notes    []*note
	settings settings
	errs     []error
}

func parsePage(path, text string) (*page, error) {
	p := &reader{page: &page{path: path, anchors: map[string]bool{}}, lines: strings.Split(text, "\n")}
	for p.at < len(p.lines) {
		line := p.lines[p.at]
		switch {
		case fence.MatchString(line):
			p.block(fence.FindStringSubmatch(line))
		case strings.HasPrefix(strings.TrimSpace(line), "<!--"):
			p.comment()
		default:
			p.prose(line)
			p.at++
		}
	}
	p.unattached()
	return p.page, errors.Join(p.errs...)
}

func (p *reader) errorf(line int, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %w", p.page.path, line, fmt.Errorf(format, args...)))
}

func (p *reader) block(opening []string) {
	indent, marks := opening[1], opening[2]
	b := &block{line: p.at + 2, language: opening[3], notes: p.notes, settings: p.settings}
	p.notes = nil
	var text strings.Builder
	for p.at++; p.at < len(p.lines); p.at++ {
		line := strings.TrimPrefix(p.lines[p.at], indent)
		if closing := strings.TrimSpace(line); strings.HasPrefix(closing, marks) && strings.Trim(closing, marks[:1]) == "" {
			b.text = text.String()
			p.page.blocks = append(p.page.blocks, b)
			p.at++
			return
		}
		text.WriteString(line + "\n")
	}
	p.errorf(b.line-1, "this block is never closed")
}

// comment reads to the end of an HTML comment, and what it tells us.
func (p *reader) comment() {
	start := p.at + 1
	text := ""
	for {
		text += p.lines[p.at] + "\n"
		p.at++
		if strings.Contains(text, "-->") {
			break
		}
		if p.at == len(p.lines) {
			p.errorf(start, "this comment is never closed")
			return
		}
	}
	text, after, _ := strings.Cut(text, "-->")
	text = strings.TrimPrefix(strings.TrimSpace(text), "<!--")
	if told, ok := strings.CutPrefix(strings.TrimSpace(text), "docs-check:"); ok {
		p.note(start, told)
	}
	p.prose(after)
}

func (p *reader) note(line int, told string) {
	first, body, _ := strings.Cut(strings.TrimSpace(told), "\n")
	verb, argument, _ := strings.Cut(strings.TrimSpace(first), " ")
	n := &note{line: line + 1, verb: verb, argument: strings.TrimSpace(argument), body: body}
	lasting, known := verbs[verb]
	switch {
	case !known:
		p.errorf(line, "docs-check knows no %q", verb)
	case !lasting:
		p.notes = append(p.notes, n)
	case verb == "prelude":
		p.settings.prelude = n
	case verb == "python":
		p.settings.python = n
	case verb == "module":
		p.settings.module = n.argument
	}
}

// unattached reports notes that stand before no block.
func (p *reader) unattached() {
	for _, n := range p.notes {
		p.errorf(n.line-1, "no block follows the note %q", n.verb)
	}
	p.notes = nil
}

var (
	inlineCode = regexp.MustCompile("``.+?``|`[^`]*`")
	anchorTag  = regexp.MustCompile(`<[a-z]+\s[^>]*?(?:id|name)="([^"]+)"`)
	linkTarget = []*regexp.Regexp{
		regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`),
		regexp.MustCompile(`^\s*\[[^\]]+\]:\s+<?(\S+?)>?\s*$`),
		regexp.MustCompile(`<[a-z]+\s[^>]*?(?:href|src|srcset)="([^"]+)"`),
	}
)

// prose takes links and anchors out of a line that is no code.
func (p *reader) prose(line string) {
	if m := heading.FindStringSubmatch(line); m != nil {
		p.unattached()
		p.anchor(slug(m[1]))
	}
	for _, m := range anchorTag.FindAllStringSubmatch(line, -1) {
		p.page.anchors[m[1]] = true
	}
	line = inlineCode.ReplaceAllString(line, "``")
	for _, pattern := range linkTarget {
		for _, m := range pattern.FindAllStringSubmatch(line, -1) {
			p.page.links = append(p.page.links, link{p.at + 1, m[1]})
		}
	}
}

// anchor adds that of a heading: the second of the same text ends in -1.
func (p *reader) anchor(name string) {
	unique := name
	for i := 1; p.page.anchors[unique]; i++ {
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	p.page.anchors[unique] = true
}

var (
	markup   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)|<[^>]+>`)
	noLetter = regexp.MustCompile(`[^\p{L}\p{M}\p{N}\p{Pc} -]`)
)

// slug is the anchor that GitHub gives to a heading.
func slug(title string) string {
	title = markup.ReplaceAllString(title, "$1")
	return strings.ReplaceAll(noLetter.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}
