package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// command is one command of a console block, and what the page shows of it.
type command struct {
	line  int
	text  string
	shown []string // until the page has CTRL+C
	after []string // from then on
	ends  bool     // the page has a CTRL+C
}

// commands takes a console block apart. A command begins with "$ " and goes on
// after a backslash, with or without the shell's "> "; the rest is output.
func commands(b *block) ([]*command, error) {
	var all []*command
	continued := false
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		text, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			all = append(all, &command{line: b.line + i, text: text})
			continued = strings.HasSuffix(text, `\`)
		case continued:
			all[len(all)-1].text += "\n" + strings.TrimPrefix(line, "> ")
			continued = strings.HasSuffix(line, `\`)
		case strings.TrimSpace(line) == "":
		case len(all) == 0:
			return nil, fmt.Errorf("no command comes before %q: commands begin with \"$ \"", line)
		default:
			all[len(all)-1].output(line)
		}
	}
	return all, nil
}

func (c *command) output(line string) {
	if rest, ok := strings.CutPrefix(line, "^C"); ok {
		c.ends = true
		line = rest
	}
	if c.ends {
		c.after = append(c.after, lines(line)...)
	} else {
		c.shown = append(c.shown, lines(line)...)
	}
}

// scripts are the languages of blocks that are one command as a whole.
var scripts = map[string]bool{"sh": true, "bash": true, "shell": true}

// session is the terminal of a page: what one command exports, and where it
// changes to, holds for the next.
type session struct {
	shop  *workshop
	state string // a file
}

func (s *session) check(ctx context.Context, b *block) error {
	if scripts[b.language] && !strings.HasPrefix(b.text, "$ ") {
		return s.foreground(ctx, b, &command{line: b.line, text: b.text, shown: []string{leftOut}})
	}
	all, err := commands(b)
	if err != nil {
		return err
	}
	var waiting []*background
	defer func() {
		for _, w := range waiting {
			w.kill()
		}
	}()
	for _, c := range all {
		if reason, ok := b.command("skip", c.text); ok {
			if err := s.shop.skip(c.line, c.text, reason); err != nil {
				return err
			}
			continue
		}
		until, inBackground := b.command("background", c.text)
		if !c.ends && !inBackground {
			if err := s.foreground(ctx, b, c); err != nil {
				return err
			}
			continue
		}
		w, err := s.background(ctx, c, until)
		if err != nil {
			return err
		}
		waiting = append(waiting, w)
	}
	for _, w := range waiting {
		if err := w.finish(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// start starts a command in the session's state, which it leaves changed
// where keep says so.
func (s *session) start(ctx context.Context, c *command, keep bool) (*process, error) {
	env, err := s.shop.environ(ctx)
	if err != nil {
		return nil, err
	}
	if strings.Contains(c.text, "python3 ") {
		if _, err := s.shop.python(); err != nil {
			return nil, err
		}
	}
	script := ""
	if _, err := os.Stat(s.state); err == nil {
		script, env = ". '"+s.state+"'\n", []string{} // it has the whole environment, without what was unset
	}
	if keep {
		script += `trap '{ export -p; printf "cd %q\n" "$PWD"; } >` + s.state + "' EXIT\n"
	}
	return start(s.shop.root, env, "bash", "-c", script+s.shop.here(c.text))
}

func (s *session) foreground(ctx context.Context, b *block, c *command) error {
	p, err := s.start(ctx, c, true)
	if err != nil {
		return c.failed(err)
	}
	defer p.kill()
	status, err := p.end(ctx, runs)
	if err != nil {
		return c.failed(fmt.Errorf("%w; its output:\n%s", err, p.output()))
	}
	return s.shop.judge(b, c, p, status)
}

// judge compares how a command ended, and what it said, with the page.
func (w *workshop) judge(b *block, c *command, p *process, status int) error {
	want := "0"
	if n, ok := b.command("status", c.text); ok {
		want = n
	}
	output := w.there(p.output())
	if fmt.Sprint(status) != want {
		return c.failed(fmt.Errorf("exit status %d, want %s; its output:\n%s", status, want, output))
	}
	shown, equal := slices.Concat(c.shown, c.after), matches
	if b.note("unordered") != nil {
		equal = matchesInAnyOrder
	}
	if len(shown) > 0 && !equal(shown, lines(output)) {
		return c.failed(fmt.Errorf("the output is\n%s\nand not what is shown:\n%s", output, strings.Join(shown, "\n")))
	}
	return nil
}

// background is a command that runs until the block's end, and the page's
// CTRL+C.
type background struct {
	*process
	shop    *workshop
	command *command
}

// background starts a command, and waits for until in its output, or else for
// the first line that the page shows.
func (s *session) background(ctx context.Context, c *command, until string) (*background, error) {
	first := ""
	for _, line := range c.shown {
		if line != leftOut {
			first = line
			break
		}
	}
	if until == "" && first == "" {
		return nil, c.failed(fmt.Errorf("the page shows no output, so there is nothing to wait for: say background `...`: TEXT"))
	}
	p, err := s.start(ctx, c, false)
	if err != nil {
		return nil, c.failed(err)
	}
	w := &background{p, s.shop, c}
	err = p.await(ctx, func(output string) bool {
		if until != "" {
			return strings.Contains(output, until)
		}
		for _, line := range lines(s.shop.there(output)) {
			if same(first, line) {
				return true
			}
		}
		return false
	})
	if err != nil {
		p.kill()
		return nil, c.failed(fmt.Errorf("waiting for %q: %w; its output:\n%s", until+first, err, p.output()))
	}
	return w, nil
}

// finish waits for the rest of what the page shows before CTRL+C, which it
// presses then.
func (w *background) finish(ctx context.Context, b *block) error {
	shown := slices.Concat(w.command.shown, []string{leftOut})
	equal := matches
	if b.note("unordered") != nil {
		equal = matchesInAnyOrder
	}
	err := w.await(ctx, func(output string) bool { return equal(shown, lines(w.shop.there(output))) })
	if err != nil {
		return w.command.failed(fmt.Errorf("waiting for what is shown: %w; its output:\n%s", err, w.output()))
	}
	w.Signal(syscall.SIGINT)
	status, err := w.end(ctx, ends)
	if err != nil {
		return w.command.failed(fmt.Errorf("after CTRL+C: %w; its output:\n%s", err, w.output()))
	}
	if status == 1 && strings.HasPrefix(w.command.text, "go run ") && !strings.Contains(w.output(), "\nexit status ") {
		status = 0 // go run ends with 1 after CTRL+C, and says so when its program did not end with 0
	}
	c := *w.command
	if !c.ends && len(c.shown) > 0 {
		c.shown = append(c.shown, leftOut) // what it says in the end is not shown
	}
	return w.shop.judge(b, &c, w.process, status)
}

func (c *command) failed(err error) error {
	return &commandError{c.line, fmt.Errorf("$ %s: %w", c.text, err)}
}

// commandError is an error at a line of the page.
type commandError struct {
	line int
	error
}

func (e *commandError) Unwrap() error { return e.error }

// newSession begins the terminal of a page.
func (w *workshop) newSession() (*session, error) {
	dir, err := os.MkdirTemp(w.dir, "session-")
	if err != nil {
		return nil, err
	}
	return &session{w, filepath.Join(dir, "state")}, nil
}
