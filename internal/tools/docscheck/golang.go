package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// typecheck compiles units without making code of them. Unlike the compiler it
// lets a fragment declare what it does not use: the reader goes on.
func (w *workshop) typecheck(ctx context.Context, units []*unit) []error {
	var errs []error
	byModule := map[string][]*unit{}
	for _, u := range units {
		byModule[u.settings.module] = append(byModule[u.settings.module], u)
	}
	for module, units := range byModule {
		errs = append(errs, w.typecheckIn(ctx, filepath.Join(w.root, filepath.FromSlash(module)), units)...)
	}
	return errs
}

func (w *workshop) typecheckIn(ctx context.Context, module string, units []*unit) []error {
	var errs []error
	fset := token.NewFileSet()
	files := make([]*ast.File, 0, len(units))
	imported := map[string]bool{}
	for _, u := range units {
		file, err := parser.ParseFile(fset, "", u.source("p"), parser.SkipObjectResolution)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, spec := range file.Imports {
			p, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
			imported[p] = true
		}
		files = append(files, file)
	}
	exports, err := exportData(ctx, module, imported)
	if err != nil {
		return append(errs, err)
	}
	compiled := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("there is no package %s", path)
		}
		return os.Open(exports[path])
	})
	for _, file := range files {
		config := types.Config{Importer: compiled, Error: func(err error) {
			if e := (types.Error{}); !errors.As(err, &e) || !e.Soft {
				errs = append(errs, err)
			}
		}}
		_, _ = config.Check(file.Name.Name, fset, []*ast.File{file}, nil) // Error has had the errors
	}
	return errs
}

// exportData returns the files with the compiler's export data of packages and
// what they need, by import path.
func exportData(ctx context.Context, module string, paths map[string]bool) (map[string]string, error) {
	args := []string{"list", "-e", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "--"}
	for path := range paths {
		args = append(args, path)
	}
	if len(paths) == 0 {
		return nil, nil
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = module
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &said)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	return exports, nil
}

// executes tells whether a unit is run, and not only compiled.
func (u *unit) executes() bool {
	if u.run != nil {
		return true
	}
	return strings.HasPrefix(strings.TrimSpace(u.program), "package main") && strings.Contains(u.program, "\nfunc main() {")
}

// execute builds and runs a unit: a program, or tests.
func (w *workshop) execute(ctx context.Context, u *unit) error {
	source := w.here(u.source("main"))
	isTest := strings.Contains(source, "\nfunc Test")
	dir, err := os.MkdirTemp(w.dir, "go-")
	if err != nil {
		return err
	}
	name := "main.go"
	if isTest {
		name = "page_test.go"
	}
	file, program := filepath.Join(dir, name), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		return err
	}
	args := []string{"build", "-o", program, file}
	if isTest {
		args = []string{"test", "-c", "-o", program, file}
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = filepath.Join(w.root, filepath.FromSlash(u.settings.module))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return w.runProgram(ctx, u.run, u.output, program)
}

// runProgram runs what a block became, and compares its output with the block
// that shows it. A program that does not end by itself ends with CTRL+C, when
// it has said what run says: "until TEXT".
func (w *workshop) runProgram(ctx context.Context, run *note, output *block, name string, args ...string) error {
	env, err := w.environ(ctx)
	if err != nil {
		return err
	}
	p, err := start(w.root, env, name, args...)
	if err != nil {
		return err
	}
	defer p.kill()
	if run != nil && run.argument != "" {
		text, ok := strings.CutPrefix(run.argument, "until ")
		if !ok {
			return fmt.Errorf("run knows no %q", run.argument)
		}
		if err := p.await(ctx, func(output string) bool { return strings.Contains(output, text) }); err != nil {
			return fmt.Errorf("waiting for %q: %w; its output:\n%s", text, err, p.output())
		}
		p.Signal(syscall.SIGINT)
	}
	status, err := p.end(ctx, runs)
	if err != nil {
		return fmt.Errorf("%w; its output:\n%s", err, p.output())
	}
	if status != 0 {
		return fmt.Errorf("exit status %d; its output:\n%s", status, w.there(p.output()))
	}
	if output == nil {
		return nil
	}
	said, _ := p.stdout.read() // not the log
	said = w.there(said)
	equal := matches
	if output.note("unordered") != nil {
		equal = matchesInAnyOrder
	}
	if shown := lines(output.text); !equal(shown, lines(said)) {
		return fmt.Errorf("the output is\n%s\nand not what line %d shows:\n%s", said, output.line, output.text)
	}
	return nil
}

// runPython runs a block of Python after what the page has said about its
// fragments.
func (w *workshop) runPython(ctx context.Context, b, output *block) error {
	python, err := w.python()
	if err != nil {
		return err
	}
	if err := w.broker(ctx); err != nil {
		return err
	}
	program := b.text
	if prelude := b.settings.python; prelude != nil {
		program = prelude.body + "\n" + program
	}
	run := b.note("run")
	if run != nil {
		program += "\n" + run.body
	}
	dir, err := os.MkdirTemp(w.dir, "python-")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "page.py")
	if err := os.WriteFile(file, []byte(w.here(program)), 0o600); err != nil {
		return err
	}
	return w.runProgram(ctx, run, output, python, file)
}

// isPartOf tells whether a block is, line by line, in a file of the repository
// that is tested where it is.
func (w *workshop) isPartOf(b *block, file string) error {
	text, err := os.ReadFile(filepath.Join(w.root, filepath.FromSlash(file)))
	if err != nil {
		return err
	}
	trimmed := func(text string) []string {
		all := strings.Split(strings.TrimSpace(text), "\n")
		for i, line := range all {
			all[i] = strings.TrimSpace(line)
		}
		return all
	}
	want, have := trimmed(b.text), trimmed(string(text))
	for i := 0; i+len(want) <= len(have); i++ {
		if slices.Equal(want, have[i:i+len(want)]) {
			return nil
		}
	}
	return fmt.Errorf("these lines are not in %s", file)
}
