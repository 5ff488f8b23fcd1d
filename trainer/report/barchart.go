package report

import (
	"fmt"
	"html/template"
	"strings"
)

// BarChart compares shares, from 0 to 1, of several things.
type BarChart struct {
	// Title and X say what the bars measure.
	Title, X string
	Bars     []NamedShare
}

// NamedShare is a bar. A thing whose share is not known has a note in its place.
type NamedShare struct {
	Name  string
	Share *float64
	Note  string
}

// The sizes of a bar chart, in the units of its view box.
const (
	barLine   = 24
	barHeight = 14
	barLeft   = 190
	barRight  = 62
	barTop    = 8
	barBottom = 42
)

// StandaloneSVG draws the chart as a file of its own, in the colours that whoever looks at it prefers.
func (c *BarChart) StandaloneSVG() string {
	height := barTop + barLine*len(c.Bars) + barBottom
	x := axis{0, 1, barLeft, chartWidth - barRight}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s"><style>%s</style>%s`,
		chartWidth, height, template.HTMLEscapeString(c.Describe()), chartStyle, background)
	for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
		fmt.Fprintf(&s, `<path class="grid" d="M%.1f %dV%d"/><text class="tick middle" x="%.1f" y="%d">%s %%</text>`,
			x.at(v), barTop, height-barBottom, x.at(v), height-barBottom+17, compact(100*v))
	}
	fmt.Fprintf(&s, `<text class="axis middle" x="%.1f" y="%d">%s</text>`, x.at(0.5), height-8, template.HTMLEscapeString(c.X))
	for i, bar := range c.Bars {
		top := barTop + i*barLine
		base := top + barLine/2 + 4
		fmt.Fprintf(&s, `<text class="tick end" x="%d" y="%d">%s</text>`, barLeft-8, base, template.HTMLEscapeString(clipText(bar.Name, 30)))
		if bar.Share == nil {
			fmt.Fprintf(&s, `<text class="note" x="%d" y="%d">%s</text>`, barLeft+6, base, template.HTMLEscapeString(clipText(bar.Note, 50)))
			continue
		}
		end := x.at(min(1, max(0, *bar.Share)))
		fmt.Fprintf(&s, `<rect class="bar" x="%d" y="%d" width="%.1f" height="%d"/><text class="tick" x="%.1f" y="%d">%s</text>`,
			barLeft, top+(barLine-barHeight)/2, end-barLeft, barHeight, end+6, base, bar.text())
	}
	return s.String() + "</svg>\n"
}

func (b *NamedShare) text() string {
	if b.Share == nil {
		return b.Note
	}
	return fmt.Sprintf("%.1f %%", 100**b.Share)
}

// Describe says in words what the bars show.
func (c *BarChart) Describe() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s: %s.", c.Title, c.X)
	for _, bar := range c.Bars {
		fmt.Fprintf(&s, " %s: %s.", bar.Name, bar.text())
	}
	return s.String()
}
