// Copyright The Kubemeter Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// panel is one of the small pictures: a cost against the number of nodes.
type panel struct {
	title string
	of    func(*Result) value
	scale float64 // from the value's unit to that of the title
}

var panels = [2][2]panel{
	{
		{"CPU per scrape, ms", func(r *Result) value {
			return sure(r.Rest, func(r *Rest) float64 { return r.CPUPerScrape })
		}, 1e3},
		{"resident memory at rest, MB", func(r *Result) value {
			return sure(r.Rest, func(r *Rest) float64 { return float64(r.Memory.Resident) })
		}, 1e-6},
	},
	{
		{"LIST all pods, JSON, p50, ms", timeOf(listPodsJSON), 1e3},
		{"LIST by label selector, p50, ms", timeOf(listSelector), 1e3},
	},
}

func timeOf(name string) func(*Result) value {
	return func(r *Result) value { return sure(r.read(name), func(r *Read) float64 { return r.Time.P50 }) }
}

// lines are those of each panel, in colours that are told apart without colour
// vision, too.
var lines = []struct {
	name  string
	color color.Color
	shape draw.GlyphDrawer
}{
	{"server", color.RGBA{R: 0, G: 114, B: 178, A: 255}, draw.CircleGlyph{}},
	{"peer", color.RGBA{R: 213, G: 94, B: 0, A: 255}, draw.TriangleGlyph{}},
}

const pictureWidth, pictureHeight = 24 * vg.Centimeter, 18 * vg.Centimeter

// Draw writes a picture of the report as base.svg and base.png.
func (r *Report) Draw(base string) error {
	plots := make([][]*plot.Plot, len(panels))
	for i, row := range panels {
		for _, p := range row {
			drawn, err := p.plot(r)
			if err != nil {
				return fmt.Errorf("drawing %s: %w", p.title, err)
			}
			plots[i] = append(plots[i], drawn)
		}
	}
	svg := vgsvg.New(pictureWidth, pictureHeight)
	png := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(pictureWidth, pictureHeight), vgimg.UseDPI(120))}
	for file, canvas := range map[string]interface {
		vg.CanvasSizer
		io.WriterTo
	}{base + ".svg": svg, base + ".png": png} {
		tile(plots, draw.New(canvas))
		if err := save(file, canvas); err != nil {
			return err
		}
	}
	return nil
}

func tile(plots [][]*plot.Plot, canvas draw.Canvas) {
	const gap = vg.Centimeter / 2
	tiles := draw.Tiles{
		Rows: len(plots), Cols: len(plots[0]),
		PadX: gap, PadY: gap, PadTop: gap, PadBottom: gap, PadLeft: gap, PadRight: gap,
	}
	for i, row := range plot.Align(plots, tiles, canvas) {
		for j, c := range row {
			plots[i][j].Draw(c)
		}
	}
}

func save(file string, canvas io.WriterTo) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

// plot draws both axes as logarithms: sizes and costs span powers of ten, and a
// cost that grows with the cluster is a straight line.
func (p *panel) plot(r *Report) (*plot.Plot, error) {
	drawn := plot.New()
	drawn.Title.Text = p.title
	drawn.X.Label.Text = "nodes"
	drawn.Add(plotter.NewGrid())
	for _, l := range lines {
		points := p.points(r, l.name)
		if len(points) == 0 {
			continue
		}
		line, shapes, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = l.color, vg.Points(1.5)
		shapes.Color, shapes.Shape, shapes.Radius = l.color, l.shape, vg.Points(3)
		// At the end of the line, a name needs no legend.
		name, err := plotter.NewLabels(plotter.XYLabels{XYs: points[len(points)-1:], Labels: []string{l.name}})
		if err != nil {
			return nil, err
		}
		name.Offset = vg.Point{X: vg.Points(6), Y: vg.Points(-3)}
		name.TextStyle[0].Color = l.color
		drawn.Add(line, shapes, name)
	}
	p.scaleX(&drawn.X, r)
	wholeDecades(&drawn.Y)
	return drawn, nil
}

// scaleX marks the numbers of nodes that were measured, and leaves room for the
// lines' names.
func (p *panel) scaleX(a *plot.Axis, r *Report) {
	a.Min, a.Max, a.Scale = 1, 10, plot.LogScale{}
	var ticks plot.ConstantTicks
	for _, run := range r.Runs {
		ticks = append(ticks, plot.Tick{Value: float64(run.Nodes), Label: fmt.Sprint(run.Nodes)})
	}
	if len(ticks) == 0 {
		return
	}
	slices.SortFunc(ticks, func(a, b plot.Tick) int { return cmp.Compare(a.Value, b.Value) })
	a.Min, a.Max, a.Tick.Marker = ticks[0].Value/1.5, ticks[len(ticks)-1].Value*2, ticks
}

// points leaves out what was not measured, and what has no logarithm.
func (p *panel) points(r *Report, name string) (points plotter.XYs) {
	for _, run := range r.Runs {
		result := run.result(name)
		if result == nil {
			continue
		}
		if v := p.of(result); v.known && v.v > 0 {
			points = append(points, plotter.XY{X: float64(run.Nodes), Y: v.v * p.scale})
		}
	}
	return points
}

// wholeDecades has a logarithmic axis begin and end at powers of ten.
func wholeDecades(a *plot.Axis) {
	if a.Min > a.Max || a.Min <= 0 { // nothing was drawn
		a.Min, a.Max = 1, 10
	}
	first, last := math.Floor(math.Log10(a.Min)), math.Ceil(math.Log10(a.Max))
	// A little less, because the logarithm of 0.1 is a little more than -1.
	a.Min, a.Max = 0.999999*math.Pow10(int(first)), math.Pow10(int(max(last, first+1)))
	a.Scale, a.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
}
