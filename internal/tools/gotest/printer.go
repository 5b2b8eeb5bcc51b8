package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// event is a line of go test -json (go doc test2json), less what is not used.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// featureIsOff are the skips that are no omission: inside Watermill's own suite,
// the cases for features of a Pub/Sub that adapters/watermill declares as off.
// Its cases run in a subtest named after an ID.
var featureIsOff = regexp.MustCompile(`/adapters/watermill TestUniversal/[a-z]+/` +
	`(TestReconnect|TestNewSubscriberReceivesOldMessages)/[0-9a-f-]{36}$`)

// test names a test across packages.
type test struct{ pkg, name string }

// printer turns events back into what go test prints without -v: the output
// of tests that fail, and a line for each package. What it prints has none of
// the passwords in it.
type printer struct {
	out       io.Writer
	passwords []string
	held      map[test]*strings.Builder // output of tests that have not ended
	skipped   []string
	telling   []string // lines with a password, of tests that passed too
}

func newPrinter(out io.Writer, passwords ...string) *printer {
	return &printer{out: out, passwords: passwords, held: map[test]*strings.Builder{}}
}

// readAll handles events until the stream ends. Lines that are no events are
// printed as they are.
func (p *printer) readAll(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			e.Output = p.mask(test{e.Package, e.Test}, e.Output)
			p.handle(e)
		} else {
			fmt.Fprint(p.out, p.mask(test{}, line))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
	}
}

// mask returns output without the passwords, and notes where there was one.
func (p *printer) mask(t test, output string) string {
	for _, password := range p.passwords {
		if strings.Contains(output, password) {
			output = strings.ReplaceAll(output, password, "PASSWORD")
			p.telling = append(p.telling, strings.TrimSpace(fmt.Sprintf("%s %s: %s", t.pkg, t.name, strings.TrimSpace(output))))
		}
	}
	return output
}

func (p *printer) handle(e event) {
	t := test{e.Package, e.Test}
	switch {
	case e.Action == "output" && e.Test != "":
		p.hold(t, e.Output)
	case e.Action == "output" || e.Action == "build-output":
		if e.Output != "PASS\n" { // printed with -v only, which -json implies
			fmt.Fprint(p.out, e.Output)
		}
	case e.Test == "" && e.Action == "fail":
		p.releaseAll(e.Package)
	case e.Test != "" && e.Action == "fail":
		p.release(t)
	case e.Test != "" && e.Action == "skip" && featureIsOff.MatchString(e.Package+" "+e.Test):
		delete(p.held, t)
	case e.Test != "" && e.Action == "skip":
		p.skipped = append(p.skipped, e.Package+" "+p.reason(t))
		delete(p.held, t)
	case e.Test != "" && e.Action == "pass":
		delete(p.held, t)
	}
}

func (p *printer) hold(t test, output string) {
	if p.held[t] == nil {
		p.held[t] = &strings.Builder{}
	}
	p.held[t].WriteString(output)
}

func (p *printer) release(t test) {
	if text := p.held[t]; text != nil {
		fmt.Fprint(p.out, text)
		delete(p.held, t)
	}
}

// releaseAll prints what is left of tests that did not end, as after a panic.
func (p *printer) releaseAll(pkg string) {
	for t := range p.held {
		if t.pkg == pkg {
			p.release(t)
		}
	}
}

// reason is the test's own words, on one line with its name.
func (p *printer) reason(t test) string {
	words := []string{t.name + ":"}
	if text := p.held[t]; text != nil {
		for line := range strings.Lines(text.String()) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
				words = append(words, line)
			}
		}
	}
	return strings.Join(words, " ")
}

// report reports whether nothing was skipped and no password was shown, and
// prints what was otherwise.
func (p *printer) report() bool {
	p.list(p.skipped, "%d tests were skipped, and this run must skip none")
	p.list(p.telling, "%d lines of the tests' output show a password")
	return len(p.skipped)+len(p.telling) == 0
}

func (p *printer) list(lines []string, what string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\nFAIL: "+what+":\n", len(lines))
	for _, line := range lines {
		fmt.Fprintln(p.out, "  ", line)
	}
}
