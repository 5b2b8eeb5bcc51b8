// Package examples holds the documentation to its examples: what a user can
// call is shown being called, in an example that is run.
package examples

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

import _ "pgregory.net/rapid" // its flags: go test ./... -rapid.checks=N gives them to every package

// without says which functions have no example of their own, and why.
var without = map[string]string{
	"pkg/messaging/middleware/sqlstore.Tx": "it is what the package's example is about",
}

// TestEveryFunctionHasAnExample: each exported function of the packages that
// users import has an example under its name. An option and a constructor may be
// shown in the example of what they are for.
func TestEveryFunctionHasAnExample(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range packages(t) {
		p := load(t, dir)
		for _, name := range p.functions() {
			full := p.path + "." + name
			used[full] = true
			has := p.hasExample(name)
			switch reason := without[full]; {
			case has && reason != "":
				t.Errorf("%s has an example, and an excuse for having none", full)
			case !has && reason == "":
				t.Errorf("%s has no example: write Example%s, with an Output", full, name)
			}
		}
		for _, e := range p.examples {
			if e.Output == "" && !e.EmptyOutput {
				t.Errorf("%s.Example%s has no Output, and so is not run", p.path, e.Name)
			}
		}
		if p.overview == "" {
			t.Errorf("%s has no overview", p.path)
		}
	}
	for full := range without {
		if !used[full] {
			t.Errorf("%s is excused, and is not there", full)
		}
	}
}

// packages are the folders of what users import.
func packages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, root := range []string{"../../pkg", "../../adapters"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if err == nil && strings.HasSuffix(path, ".go") && !slices.Contains(dirs, filepath.Dir(path)) {
				dirs = append(dirs, filepath.Dir(path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(dirs) == 0 {
		t.Fatal("there are no packages")
	}
	return dirs
}

// source is what the check knows of a package.
type source struct {
	path     string // without the module's
	overview string
	doc      *doc.Package
	examples []*doc.Example
}

func load(t *testing.T, dir string) source {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files, tests []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		file, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), "_test.go") {
			tests = append(tests, file)
		} else {
			files = append(files, file)
		}
	}
	path := strings.TrimPrefix(filepath.ToSlash(dir), "../../")
	p, err := doc.NewFromFiles(fset, files, path)
	if err != nil {
		t.Fatal(err)
	}
	return source{path: path, overview: p.Doc, doc: p, examples: doc.Examples(tests...)}
}

// functions are the exported functions, those that go/doc files under a type
// among them.
func (s source) functions() []string {
	var names []string
	add := func(all []*doc.Func) {
		for _, f := range all {
			names = append(names, f.Name)
		}
	}
	add(s.doc.Funcs)
	for _, t := range s.doc.Types {
		add(t.Funcs)
	}
	return names
}

// hasExample says whether there is Example<name>, perhaps with a suffix, or,
// for an option or a constructor, an example that calls it.
func (s source) hasExample(name string) bool {
	for _, e := range s.examples {
		own, _, _ := strings.Cut(e.Name, "_")
		if own == name || (s.isOption(name) || strings.HasPrefix(name, "New")) && calls(e.Code, name) {
			return true
		}
	}
	return false
}

// isOption says whether a function only makes an option for another one.
func (s source) isOption(name string) bool {
	for _, t := range s.doc.Types {
		if strings.HasSuffix(t.Name, "Option") && slices.ContainsFunc(t.Funcs, func(f *doc.Func) bool { return f.Name == name }) {
			return true
		}
	}
	return false
}

// calls says whether a function is called in an example.
func calls(code ast.Node, name string) bool {
	found := false
	ast.Inspect(code, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if selector, ok := call.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == name {
			found = true
		}
		return true
	})
	return found
}
