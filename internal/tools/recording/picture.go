package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"time"
	"unicode/utf8"
)

// Sizes, in the picture's pixels.
const (
	margin     = 16
	lineHeight = 20
	letter     = 8.43 // width, at a font size of 14
)

// hold is how long the last line stays before the picture begins again.
const hold = 5 * time.Second

// picture draws the terminal. Without animations, or for a reader who does not
// want them, it shows the end.
func picture(command string, lines []line) []byte {
	lines = append([]line{{0, "$ " + command}}, lines...)
	columns := 0
	for _, l := range lines {
		columns = max(columns, utf8.RuneCountInString(l.text))
	}
	total := lines[len(lines)-1].at + hold
	width, height := 2*margin+int(float64(columns)*letter), 2*margin+lineHeight*len(lines)

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<style>\n", escape(command))
	b.WriteString("rect{fill:#0d1117;stroke:#30363d}\n" +
		"text{fill:#e6edf3;font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}\n" +
		".command{fill:#7ee787}\n")
	for i, l := range lines[1:] {
		percent := 100 * l.at.Seconds() / total.Seconds()
		fmt.Fprintf(&b, "@keyframes l%d{0%%,%.3f%%{opacity:0}%.3f%%,100%%{opacity:1}}\n", i+1, percent, percent+0.001)
		fmt.Fprintf(&b, "#l%d{animation:l%d %.3fs linear infinite}\n", i+1, i+1, total.Seconds())
	}
	b.WriteString("@media (prefers-reduced-motion:reduce){text{animation:none!important}}\n</style>\n")
	fmt.Fprintf(&b, `<rect x="0.5" y="0.5" width="%d" height="%d" rx="6"/>`+"\n", width-1, height-1)
	for i, l := range lines {
		class := ""
		if i == 0 {
			class = ` class="command"`
		}
		fmt.Fprintf(&b, `<text id="l%d"%s x="%d" y="%d" xml:space="preserve">%s</text>`+"\n",
			i, class, margin, margin+lineHeight*i+15, escape(l.text))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a buffer takes everything
	return b.String()
}
