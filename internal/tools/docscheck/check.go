package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// checked is what became of a page.
type checked struct {
	page   *page
	errs   []error
	counts map[string]int // blocks by what was done with them
	took   time.Duration
}

// checkPages checks pages, each on an empty broker. The fragments of Go of all
// pages are compiled at once.
func (w *workshop) checkPages(ctx context.Context, pages []*page, done func(checked)) []error {
	var units []*unit
	var all []error
	plans := make([]plan, len(pages))
	for i, p := range pages {
		w.page = p
		var errs []error
		plans[i], errs = w.plan(p)
		all = append(all, errs...)
		units = append(units, plans[i].units...)
	}
	all = append(all, w.typecheck(ctx, units)...)
	if len(all) > 0 {
		return all // what does not compile is not run
	}
	links := &linkChecker{w.root, map[string]*page{}}
	for i, p := range pages {
		w.page = p
		start := time.Now()
		c := checked{page: p, errs: links.check(p), counts: map[string]int{}}
		c.errs = append(c.errs, w.follow(ctx, plans[i], c.counts)...)
		c.errs = append(c.errs, unusedNotes(p)...)
		c.took = time.Since(start)
		done(c)
		all = append(all, c.errs...)
		if ctx.Err() != nil {
			return append(all, ctx.Err())
		}
	}
	return all
}

// plan is what is done with a page's blocks, in their order.
type plan struct {
	units []*unit
	steps []step
}

type step struct {
	block *block
	kind  string
	do    func(ctx context.Context) error // nil: there is nothing to do but what was done already
}

// plan finds out what is to be done with each block of a page.
func (w *workshop) plan(p *page) (plan, []error) {
	var made plan
	var errs []error
	terminal, err := w.newSession()
	if err != nil {
		return made, []error{err}
	}
	var last *unit   // of Go, that the next block may continue
	var shows *block // whose output a block of text is
	var shown = map[*block]*block{}
	for _, b := range p.blocks {
		if b.language == "text" {
			if shows != nil && b.note("skip") == nil {
				shown[shows] = b
			}
			shows = nil
			continue
		}
		shows = b
		s := step{block: b, kind: b.language}
		skip, file := b.note("skip"), b.note("file")
		switch {
		case b.language == "":
			continue // a picture, or a listing of something
		case skip != nil:
			s.kind = "skipped"
			if err := w.skip(b.line, b.language, skip.argument); err != nil {
				errs = append(errs, located(p, b.line, err))
			}
			shows = nil
		case file != nil:
			s.do = func(context.Context) error { return w.isPartOf(b, file.argument) }
			shows = nil
		case b.language == "go" && b.note("continues") != nil:
			if last == nil {
				errs = append(errs, located(p, b.line, errors.New("no block comes before the one that continues it")))
			} else if err := last.add(b); err != nil {
				errs = append(errs, located(p, b.line, err))
			}
		case b.language == "go":
			u, err := newUnit(p, b)
			if err != nil {
				errs = append(errs, located(p, b.line, err))
				continue
			}
			last = u
			made.units = append(made.units, u)
			if u.executes() {
				s.kind = "go, run"
				s.do = func(ctx context.Context) error {
					u.output = shown[b]
					return w.execute(ctx, u)
				}
			}
		case b.language == "python":
			s.do = func(ctx context.Context) error { return w.runPython(ctx, b, shown[b]) }
		case b.language == "console" || scripts[b.language]:
			s.do = func(ctx context.Context) error { return terminal.check(ctx, b) }
			shows = nil
		case data[b.language] != nil:
			s.do = func(context.Context) error { return data[b.language](b.text) }
			shows = nil
		default:
			errs = append(errs, located(p, b.line, fmt.Errorf("nobody knows how to check %q: say skip, and why", b.language)))
		}
		made.steps = append(made.steps, s)
	}
	return made, errs
}

// follow does it.
func (w *workshop) follow(ctx context.Context, made plan, counts map[string]int) []error {
	var errs []error
	if len(made.steps) > 0 {
		if err := w.fresh(); err != nil {
			return []error{err}
		}
	}
	for _, s := range made.steps {
		counts[s.kind]++
		if s.block.note("fresh") != nil {
			if err := w.fresh(); err != nil {
				return append(errs, err)
			}
		}
		if s.do == nil {
			continue
		}
		if err := s.do(ctx); err != nil {
			errs = append(errs, located(w.page, s.block.line, err))
		}
	}
	return errs
}

// located says which line of which page an error is about.
func located(p *page, line int, err error) error {
	if at := (*commandError)(nil); errors.As(err, &at) {
		line = at.line
	}
	return fmt.Errorf("%s:%d: %w", p.path, line, err)
}

// unusedNotes are those that say something about a command that is not there,
// or something that means nothing for their block.
func unusedNotes(p *page) []error {
	var errs []error
	for _, b := range p.blocks {
		for _, n := range b.notes {
			if !n.used {
				errs = append(errs, located(p, n.line-1, fmt.Errorf("the note \"%s %s\" is about nothing in the block below", n.verb, n.argument)))
			}
		}
	}
	return errs
}
