// Command docscheck runs what the documentation shows: README.md and every
// page in docs. Go is compiled, whole programs are run, commands and Python
// are run against a RabbitMQ node of its own, data is parsed, links are
// followed. ADR 0011 says what a page can tell it, and why.
//
//	go run ./internal/tools/docscheck                   everything
//	go run ./internal/tools/docscheck docs/testing.md   some pages
//
// It prints a line for each page, then what was not run and the page's reason,
// and ends with status 1 where anything was not as a page has it.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	flag.Parse()
	err := run(ctx, ".", flag.Args(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "docs-check:", err)
		os.Exit(1)
	}
}

// run checks pages of the repository in root, all of them where none is named.
func run(ctx context.Context, root string, names []string, out io.Writer) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names, err = documentation(root); err != nil {
			return err
		}
	}
	w, err := newWorkshop(root)
	if err != nil {
		return err
	}
	defer w.close()
	var pages []*page
	var errs []error
	for _, name := range names {
		p, err := readPage(root, filepath.ToSlash(name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.Contains(linksOnly, p.path) {
			p.blocks = nil
		}
		pages = append(pages, p)
	}
	if len(errs) == 0 {
		errs = w.checkPages(ctx, pages, func(c checked) { fmt.Fprintln(out, c) })
	}
	for _, s := range w.skipped {
		fmt.Fprintln(out, "not run:", s)
	}
	for _, err := range errs {
		fmt.Fprintln(out, "\nFAIL", err)
	}
	if len(errs) > 0 {
		return fmt.Errorf("%d of what the pages show is not so", len(errs))
	}
	return nil
}

// linksOnly are pages whose links are followed and whose blocks are left alone:
// what they show are targets of make and long runs.
var linksOnly = []string{"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}

// documentation are the pages of the repository.
func documentation(root string) ([]string, error) {
	names := append([]string{"README.md"}, linksOnly...)
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			path, err = filepath.Rel(root, path)
			names = append(names, path)
		}
		return err
	})
	return names, err
}

// String is the line of a page.
func (c checked) String() string {
	what := []string{fmt.Sprintf("%d links", len(c.page.links))}
	for _, kind := range slices.SortedFunc(maps.Keys(c.counts), cmp.Compare) {
		what = append(what, fmt.Sprintf("%d %s", c.counts[kind], kind))
	}
	state := "ok  "
	if len(c.errs) > 0 {
		state = "FAIL"
	}
	return fmt.Sprintf("%s %5.1f s  %s: %s", state, c.took.Seconds(), c.page.path, strings.Join(what, ", "))
}
