package report

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/warrenmq/warren/bench/internal/measure"
)

// The colours of warren's bars and of everybody else's.
var (
	ours   = color.RGBA{R: 0x2a, G: 0x78, B: 0xd6, A: 0xff}
	theirs = color.RGBA{R: 0xb4, G: 0xb2, B: 0xa9, A: 0xff}
)

// bars draws a panel of horizontal bars for each row, below one another.
func bars(path string, results []measure.Result) error {
	const width, perBar, perRow = 16 * vg.Centimeter, 0.6 * vg.Centimeter, 2 * vg.Centimeter
	var panels [][]*plot.Plot
	var heights []vg.Length
	for _, r := range results {
		p, err := panel(r)
		if err != nil {
			return err
		}
		panels = append(panels, []*plot.Plot{p})
		heights = append(heights, perRow+perBar*vg.Length(len(r.Row.Contenders)))
	}
	var height vg.Length
	for _, h := range heights {
		height += h
	}
	canvas := vgsvg.New(width, height)
	top := height
	for i, p := range panels {
		part := draw.NewCanvas(canvas, width, height)
		part.Min.Y, part.Max.Y = top-heights[i], top
		p[0].Draw(part)
		top -= heights[i]
	}
	return save(path, canvas)
}

// panel is one row: who is fastest is on top.
func panel(r measure.Result) (*plot.Plot, error) {
	var order []int
	for i, c := range r.Row.Contenders {
		if !c.Bound {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return int(r.Rate(a) - r.Rate(b)) })

	p := plot.New()
	p.Title.Text = r.Row.Title
	p.X.Label.Text = "messages a second"
	p.X.Min = 0
	p.X.Tick.Marker = commas{plot.DefaultTicks{}}
	var names []string
	for place, i := range order {
		bar, err := plotter.NewBarChart(plotter.Values{r.Rate(i)}, 0.4*vg.Centimeter)
		if err != nil {
			return nil, err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width = true, float64(place), 0
		bar.Color = theirs
		if i == 0 {
			bar.Color = ours
		}
		p.Add(bar)
		names = append(names, r.Row.Contenders[i].Name)
	}
	p.NominalY(names...)
	p.X.Max *= 1.05
	return p, nil
}

// line is one series of a chart with named places on the X axis.
type line struct {
	name string
	y    []float64
}

// lines draws series over named places, the Y axis being logarithmic.
func lines(path, title, x, y string, places []string, series []line) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, commas{plot.LogTicks{Prec: -1}}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, s := range series {
		var points plotter.XYs
		for place, v := range s.y {
			points = append(points, plotter.XY{X: float64(place), Y: v})
		}
		curve, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return fmt.Errorf("draw %s: %w", title, err)
		}
		curve.Color, dots.Color = plotutil.Color(i), plotutil.Color(i)
		curve.Width, dots.Shape = vg.Points(1.5), draw.CircleGlyph{}
		curve.Dashes = plotutil.Dashes(i / 3)
		p.Add(curve, dots)
		p.Legend.Add(s.name, curve, dots)
	}
	// Room above and below, also where all values are the same.
	p.Y.Min, p.Y.Max = p.Y.Min/1.25, p.Y.Max*1.25
	p.NominalX(places...)
	p.X.Min, p.X.Max = -0.2, 1.45*float64(len(places)-1) // with room for the legend
	const width, height = 16 * vg.Centimeter, 9 * vg.Centimeter
	canvas := vgsvg.New(width, height)
	p.Draw(draw.New(canvas))
	return save(path, canvas)
}

// curve draws one.
func curve(path string, c measure.CurveResult) error {
	var places []string
	for _, point := range c.Curve.Points {
		places = append(places, point.Label)
	}
	var series []line
	for i, contender := range c.Curve.Points[0].Row.Contenders {
		s := line{name: contender.Name}
		for _, r := range c.Results {
			s.y = append(s.y, r.Rate(i))
		}
		series = append(series, s)
	}
	return lines(path, c.Curve.Title, c.Curve.X, "messages a second", places, series)
}

// commas writes the labels of ticks as people read them.
type commas struct{ plot.Ticker }

func (c commas) Ticks(least, most float64) []plot.Tick {
	ticks := c.Ticker.Ticks(least, most)
	for i, t := range ticks {
		if t.Label != "" && (t.Value >= 1 || t.Value == 0) {
			ticks[i].Label = Count(t.Value)
		}
	}
	return ticks
}

func save(path string, canvas *vgsvg.Canvas) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	// Where the font is missing, one of the same widths must take its place.
	text := strings.ReplaceAll(svg.String(), "font-family:Liberation Serif", "font-family:Liberation Serif,Times New Roman,Times,serif")
	return os.WriteFile(path, []byte(text), 0o644)
}
