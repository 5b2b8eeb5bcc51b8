package main

import (
	"fmt"
	"html"
	"strings"
)

// The measures of a picture, in pixels.
const (
	margin  = 12
	width   = 124 // of a thing
	height  = 44
	columns = 244 // from one to the next
	rows    = 72
	slots   = 3  // of a queue
	letters = 5  // from the middle of a line of text down to its base
	beside  = 12 // from a label to the thing that it is beside
)

// style is for a light page and, where the reader has one, for a dark one.
const style = `<style>
text { font: 14px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328; text-anchor: middle }
.label { font-size: 12px; fill: #59636e; text-anchor: end }
.back { text-anchor: start }
.service { fill: #f6f8fa; stroke: #818b98 }
.queue { fill: #fff1e5; stroke: #bc4c00 }
.topic { fill: #ddf4ff; stroke: #0969da }
.slot { stroke: #bc4c00 }
.arrow { fill: none; stroke: #59636e; stroke-width: 1.5 }
.head { fill: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.label { fill: #9198a1 }
.service { fill: #212830; stroke: #656c76 }
.queue { fill: #3d1300; stroke: #f0883e }
.topic { fill: #0c2d6b; stroke: #58a6ff }
.slot { stroke: #f0883e }
.arrow { stroke: #9198a1 }
.head { fill: #9198a1 }
}
</style>
`

// svg is the picture.
func (p *picture) svg() string {
	var w, h float64
	for _, t := range p.things {
		w, h = max(w, t.left()+width), max(h, t.top()+height)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %[1]g %[2]g" role="img" aria-label="%s">`+"\n",
		w+margin, h+margin, html.EscapeString(p.title))
	fmt.Fprintf(&b, "<title>%s</title>\n%s", html.EscapeString(p.title), style)
	b.WriteString(`<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>` + "\n")
	for _, a := range p.arrows {
		b.WriteString(a.svg())
	}
	for _, t := range p.things {
		b.WriteString(t.svg())
	}
	return b.String() + "</svg>\n"
}

func (t thing) left() float64   { return margin + t.column*columns }
func (t thing) top() float64    { return margin + t.row*rows }
func (t thing) middle() float64 { return t.top() + height/2 }
func (t thing) centre() float64 { return t.left() + width/2 }

func (t thing) svg() string {
	radius, centre := 6, t.centre()
	if t.kind == "topic" {
		radius = height / 2
	}
	s := fmt.Sprintf(`<rect class="%s" x="%g" y="%g" width="%d" height="%d" rx="%d"/>`+"\n", t.kind, t.left(), t.top(), width, height, radius)
	if t.kind == "queue" { // messages wait at its end
		for i := range slots {
			x := t.left() + width - float64(i+1)*9
			s += fmt.Sprintf(`<path class="slot" d="M%g %gV%g"/>`+"\n", x, t.top()+8, t.top()+height-8)
		}
		centre -= slots * 9 / 2
	}
	return s + fmt.Sprintf(`<text x="%g" y="%g">%s</text>`+"\n", centre, t.middle()+letters, html.EscapeString(t.name))
}

// svg goes from left to right; one that goes back leaves below, and comes in
// from below.
func (a arrow) svg() string {
	from, to := a.from, a.to
	var path string
	var x, y float64 // of the label, which is beside what the arrow points to
	class := "label"
	switch {
	case from.column < to.column:
		x1, y1, x2, y2 := from.left()+width, from.middle(), to.left(), to.middle()
		path = fmt.Sprintf("M%g %gC%g %[2]g %[3]g %g %g %[4]g", x1, y1, (x1+x2)/2, y2, x2)
		x, y = x2-beside, y2-8
		if y2 > y1 { // the arrow comes from above
			y = y2 + 18
		}
	case from.row < to.row:
		x1, y1, x2, y2 := from.centre(), from.top()+height, to.left()+width, to.middle()
		path = fmt.Sprintf("M%g %gQ%[1]g %[3]g %[4]g %[3]g", x1, y1, y2, x2)
		x, y, class = x2+beside, y2-8, "label back"
	default:
		x1, y1, x2, y2 := from.left(), from.middle(), to.centre(), to.top()+height
		path = fmt.Sprintf("M%g %gQ%[3]g %[2]g %[3]g %[4]g", x1, y1, x2, y2)
		x, y = x1-beside, y1-8
	}
	s := fmt.Sprintf(`<path class="arrow" d="%s" marker-end="url(#head)"/>`+"\n", path)
	if a.label != "" {
		s += fmt.Sprintf(`<text class="%s" x="%g" y="%g">%s</text>`+"\n", class, x, y, html.EscapeString(a.label))
	}
	return s
}
