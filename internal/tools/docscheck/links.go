package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// linkChecker follows links to files of the repository. What is elsewhere is
// not looked at: a check that needs the Internet fails with it.
type linkChecker struct {
	root  string
	pages map[string]*page // by path; read when needed
}

func (c *linkChecker) check(p *page) []error {
	var errs []error
	for _, l := range p.links {
		if err := c.follow(p, l.target); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: link to %s: %w", p.path, l.line, l.target, err))
		}
	}
	return errs
}

func (c *linkChecker) follow(from *page, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	if u.Scheme != "" || u.Host != "" {
		return nil
	}
	if u.Path == "" {
		return anchorOf(from, u.Fragment)
	}
	file := path.Join(path.Dir(from.path), u.Path)
	if strings.HasPrefix(file, "../") || path.IsAbs(u.Path) {
		return fmt.Errorf("it leaves the repository")
	}
	info, err := os.Stat(filepath.Join(c.root, filepath.FromSlash(file)))
	if err != nil {
		return fmt.Errorf("there is no file %s", file)
	}
	if u.Fragment == "" || info.IsDir() {
		return nil
	}
	return c.anchor(file, u.Fragment)
}

var lineAnchor = regexp.MustCompile(`^L(\d+)(?:-L(\d+))?$`)

func (c *linkChecker) anchor(file, name string) error {
	if path.Ext(file) == ".md" {
		p, err := c.page(file)
		if err != nil {
			return err
		}
		return anchorOf(p, name)
	}
	m := lineAnchor.FindStringSubmatch(name)
	if m == nil {
		return fmt.Errorf("%q is no line of %s", name, file)
	}
	text, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(file)))
	if err != nil {
		return err
	}
	for _, number := range m[1:] {
		if n, _ := strconv.Atoi(number); n > bytes.Count(text, []byte("\n")) {
			return fmt.Errorf("%s has no line %d", file, n)
		}
	}
	return nil
}

func anchorOf(p *page, name string) error {
	if !p.anchors[name] {
		return fmt.Errorf("%s has no heading or anchor %q", p.path, name)
	}
	return nil
}

func (c *linkChecker) page(file string) (*page, error) {
	if p := c.pages[file]; p != nil {
		return p, nil
	}
	p, err := readPage(c.root, file)
	if err != nil {
		return nil, err
	}
	c.pages[file] = p
	return p, nil
}
