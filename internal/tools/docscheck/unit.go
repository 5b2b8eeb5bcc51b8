package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// unit is what is compiled together: a block of Go, and those that continue it.
type unit struct {
	page     *page
	block    *block // the first
	settings settings
	program  string   // a whole file, where the block is one; else
	imports  []string // "name path" specifications of a fragment,
	decls    []piece  // its declarations,
	body     []piece  // and its statements
	run      *note
	output   *block // of a program that is run, where the page shows it
}

// piece is a part of a page's text.
type piece struct {
	line int
	text string
}

// startsFile tells whether a block is a whole file.
var startsFile = regexp.MustCompile(`(?m)\A(?:\s*//[^\n]*\n|\s*\n)*package \w+`)

func newUnit(p *page, b *block) (*unit, error) {
	u := &unit{page: p, block: b, settings: b.settings, run: b.note("run")}
	if startsFile.MatchString(b.text) {
		u.program = b.text
		if u.run != nil && strings.TrimSpace(u.run.body) != "" {
			return nil, fmt.Errorf("a whole program needs nothing added by run")
		}
		return u, nil
	}
	if prelude := b.settings.prelude; prelude != nil {
		if err := u.declarations(piece{prelude.line, prelude.body}); err != nil {
			return nil, fmt.Errorf("in the prelude: %w", err)
		}
	}
	if err := u.add(b); err != nil {
		return nil, err
	}
	if u.run != nil {
		return u, u.declarations(piece{u.run.line, u.run.body})
	}
	return u, nil
}

// add adds a fragment: declarations, or statements, or the one after the other.
func (u *unit) add(b *block) error {
	if u.program != "" {
		return fmt.Errorf("the block before is a whole program, which nothing continues")
	}
	text := piece{b.line, b.text}
	if u.declarations(text) == nil {
		return nil
	}
	imports, rest, err := cutImports(text)
	if err != nil {
		return err
	}
	u.addImports(imports)
	// What makes no file is statements. Where it makes none either, their
	// error is the better one.
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package p; func _() {"+rest.lined(u.page)+"}", parser.SkipObjectResolution); err != nil {
		return err
	}
	u.body = append(u.body, rest)
	return nil
}

// declarations adds what may stand in a file.
func (u *unit) declarations(text piece) error {
	imports, rest, err := cutImports(text)
	if err != nil {
		return err
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package p;"+rest.lined(u.page), parser.SkipObjectResolution); err != nil {
		return err
	}
	u.addImports(imports)
	u.decls = append(u.decls, rest)
	return nil
}

// addImports adds those that are new.
func (u *unit) addImports(specs []string) {
	for _, spec := range specs {
		if !slices.Contains(u.imports, spec) {
			u.imports = append(u.imports, spec)
		}
	}
}

// cutImports returns a fragment's imports, and the fragment with blank lines
// in their place.
func cutImports(text piece) ([]string, piece, error) {
	const clause = "package p;"
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", clause+text.text, parser.ImportsOnly)
	if err != nil {
		return nil, text, err
	}
	source := []byte(clause + text.text)
	var specs []string
	for _, d := range file.Decls {
		for i := fset.Position(d.Pos()).Offset; i < fset.Position(d.End()).Offset; i++ {
			if source[i] != '\n' {
				source[i] = ' '
			}
		}
		for _, s := range d.(*ast.GenDecl).Specs {
			s := s.(*ast.ImportSpec)
			spec := s.Path.Value
			if s.Name != nil {
				spec = s.Name.Name + " " + spec
			}
			specs = append(specs, spec)
		}
	}
	return specs, piece{text.line, string(source[len(clause):])}, nil
}

// lined is the piece as a part of a file whose errors are about the page.
func (t piece) lined(p *page) string {
	return fmt.Sprintf("\n//line %s:%d\n%s\n", p.path, t.line, t.text)
}

// source is the unit as a file of Go.
func (u *unit) source(name string) string {
	if u.program != "" {
		return "//line " + u.page.path + fmt.Sprintf(":%d\n", u.block.line) + u.program
	}
	var rest strings.Builder
	for _, d := range u.decls {
		rest.WriteString(d.lined(u.page))
	}
	if len(u.body) > 0 {
		rest.WriteString(u.function())
	}
	text := rest.String()
	var s strings.Builder
	fmt.Fprintf(&s, "package %s\n\nimport (\n", name)
	for _, spec := range u.imports {
		if u.run == nil || uses(text, spec) {
			fmt.Fprintf(&s, "\t%s\n", spec)
		}
	}
	return s.String() + ")\n" + text
}

// function is the one around the statements. It returns an error, so that they
// can, unless they return nothing.
func (u *unit) function() string {
	var body strings.Builder
	for _, b := range u.body {
		body.WriteString(b.lined(u.page))
	}
	if returnsNothing(body.String()) {
		return "func _() {" + body.String() + "}\n"
	}
	return "func _() error {" + body.String() + "return nil\n}\n"
}

// returnsNothing tells whether statements have a return without a value that
// belongs to no function in them.
func returnsNothing(body string) bool {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p; func _() {"+body+"}", parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	found := false
	ast.Inspect(file.Decls[0].(*ast.FuncDecl).Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			found = found || len(n.Results) == 0
		}
		return true
	})
	return found
}

var version = regexp.MustCompile(`/v\d+$`)

// uses tells whether a text has a use for an import: the page's prelude may
// import more than a block that is built needs.
func uses(text, spec string) bool {
	name, _, named := strings.Cut(spec, " ")
	if !named {
		name = path.Base(version.ReplaceAllString(strings.Trim(name, `"`), ""))
		name = strings.TrimSuffix(name, "-go")
	}
	return name == "_" || name == "." || regexp.MustCompile(`\b`+regexp.QuoteMeta(name)+`\.`).MatchString(text)
}
