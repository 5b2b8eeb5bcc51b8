package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// picture is a description that was read.
type picture struct {
	title  string
	things []thing
	arrows []arrow
}

type thing struct {
	kind, name  string
	column, row float64
}

type arrow struct {
	from, to thing
	label    string
}

var kinds = []string{"service", "queue", "topic"}

func parse(text string) (*picture, error) {
	p := &picture{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if err := p.add(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if p.title == "" || len(p.things) == 0 {
		return nil, errors.New("a picture has a title and things")
	}
	return p, nil
}

func (p *picture) add(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case word == "title":
		p.title = rest
		return nil
	case slices.Contains(kinds, word):
		return p.thing(word, rest)
	default:
		return p.arrow(line)
	}
}

func (p *picture) thing(kind, text string) error {
	name, place, _ := strings.Cut(text, " @ ")
	column, row, _ := strings.Cut(place, ",")
	x, errX := strconv.ParseFloat(column, 64)
	y, errY := strconv.ParseFloat(row, 64)
	if err := errors.Join(errX, errY); err != nil {
		return fmt.Errorf("%q wants to be NAME @ COLUMN,ROW: %w", text, err)
	}
	p.things = append(p.things, thing{kind, name, x, y})
	return nil
}

func (p *picture) arrow(line string) error {
	line, label, _ := strings.Cut(line, " : ")
	from, to, ok := strings.Cut(line, " -> ")
	if !ok {
		return fmt.Errorf("%q is no thing (%s) and no arrow (FROM -> TO)", line, strings.Join(kinds, ", "))
	}
	a := arrow{label: label}
	for name, end := range map[string]*thing{from: &a.from, to: &a.to} {
		i := slices.IndexFunc(p.things, func(t thing) bool { return t.name == name })
		if i < 0 {
			return fmt.Errorf("%q is on no line before", name)
		}
		*end = p.things[i]
	}
	p.arrows = append(p.arrows, a)
	return nil
}
