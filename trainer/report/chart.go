package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Chart is curves over a common axis.
type Chart struct {
	Title string
	// X and Y say what the axes count, with the unit.
	X, Y string
	// Percent shows values of Y, which are shares, as percentages.
	Percent bool
	// Doubling gives every doubling of X, which must be above 0, the same room, and marks the values that there are.
	Doubling bool
	Series   []Series
}

// Series is one curve. Points that are not finite are gaps.
type Series struct {
	Name string
	X, Y []float64
	// Colour and Dash choose the look, from 0 on. Dots mark every point.
	Colour, Dash int
	Dots         bool
}

// The sizes of a chart, in the units of its view box.
const (
	chartWidth  = 560
	chartHeight = 250
	plotLeft    = 62
	plotRight   = 14
	plotTop     = 14
	plotBottom  = 42
	legendLine  = 18
	// maxPoints bounds what is drawn of a curve: more than there are pixels show nothing more.
	maxPoints = 400
	// colours and dashes are how many there are to be told apart.
	colours = 6
	dashes  = 4
)

// plot is the mapping of a chart's values to its view box.
type plot struct {
	x, y           axis
	xTicks, yTicks []float64
	height         int
}

// axis maps values from lo to hi to places from start to end.
type axis struct{ lo, hi, start, end float64 }

func (a axis) at(v float64) float64 {
	if a.hi == a.lo {
		return (a.start + a.end) / 2
	}
	return a.start + (v-a.lo)/(a.hi-a.lo)*(a.end-a.start)
}

// Empty says that no series has a point.
func (c *Chart) Empty() bool {
	for _, s := range c.Series {
		if len(s.finite().X) > 0 {
			return false
		}
	}
	return true
}

// finite returns the points that can be drawn.
func (s Series) finite() Series {
	out := s
	out.X, out.Y = nil, nil
	for i, y := range s.Y {
		if i < len(s.X) && !math.IsNaN(y+s.X[i]) && !math.IsInf(y+s.X[i], 0) {
			out.X, out.Y = append(out.X, s.X[i]), append(out.Y, y)
		}
	}
	return out
}

// thin returns at most n points: the means of as many stretches of equal length.
func (s Series) thin(n int) Series {
	if len(s.X) <= n {
		return s
	}
	out := s
	out.X, out.Y = nil, nil
	for i := range n {
		from, to := i*len(s.X)/n, (i+1)*len(s.X)/n
		out.X, out.Y = append(out.X, meanOf(s.X[from:to])), append(out.Y, meanOf(s.Y[from:to]))
	}
	return out
}

func meanOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// ticks returns round values that cover lo to hi with about n intervals.
func ticks(lo, hi float64, n int) []float64 {
	if !(hi > lo) {
		pad := math.Max(1e-9, math.Abs(lo)*0.1)
		lo, hi = lo-pad, hi+pad
	}
	raw := (hi - lo) / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*power*(1+1e-9) {
			step = m * power
			break
		}
	}
	var list []float64
	for i := math.Floor(lo/step + 1e-9); ; i++ {
		list = append(list, i*step)
		if i*step >= hi-step*1e-9 {
			return list
		}
	}
}

// label is a value of an axis with the digits that its ticks need.
func (c *Chart) label(v float64) string {
	if c.Percent {
		return compact(100*v) + " %"
	}
	return compact(v)
}

// compact writes a number with few digits: thousands as k, millions as M.
func compact(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= 10*unit.size || math.Abs(v) >= unit.size && math.Mod(v, unit.size) == 0 {
			return strconv.FormatFloat(v/unit.size, 'g', 4, 64) + unit.name
		}
	}
	return strconv.FormatFloat(round(v), 'g', 6, 64)
}

// round drops what binary fractions leave behind.
func round(v float64) float64 { return math.Round(v*1e9) / 1e9 }

// SVG draws the chart for a page that has the classes of chart.css.
func (c *Chart) SVG() template.HTML { return template.HTML(c.svg("")) }

// StandaloneSVG draws the chart as a file of its own, in the colours that whoever looks at it prefers, on paper of its own: the page
// around it may be of other colours. The title takes the place of what the axis counts, where that is not said.
func (c *Chart) StandaloneSVG() string {
	own := *c
	if own.Y == "" {
		own.Y = c.Title
	}
	return own.svg("<style>"+chartStyle+"</style>"+background) + "\n"
}

// background is the paper of a picture in a file of its own.
const background = `<rect class="paper" width="100%" height="100%" rx="4"/>`

func (c *Chart) svg(style string) string {
	series := make([]Series, 0, len(c.Series))
	for _, s := range c.Series {
		if s = s.finite().thin(maxPoints); len(s.X) > 0 {
			series = append(series, s)
		}
	}
	legend, lines := legendOf(series)
	if c.Doubling {
		for i := range series {
			series[i].X = logarithms(series[i].X)
		}
	}
	p := plotOf(series, lines)
	if c.Doubling {
		p.xTicks = placesOf(series)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">%s`,
		chartWidth, p.height, template.HTMLEscapeString(c.Describe()), style)
	c.drawAxes(&s, p)
	for _, one := range series {
		drawSeries(&s, p, one)
	}
	s.WriteString(legend)
	return s.String() + "</svg>"
}

func logarithms(list []float64) []float64 {
	out := make([]float64, len(list))
	for i, x := range list {
		out[i] = math.Log2(x)
	}
	return out
}

// placesOf are all values of X.
func placesOf(series []Series) []float64 {
	places := map[float64]bool{}
	for _, s := range series {
		for _, x := range s.X {
			places[x] = true
		}
	}
	return sortedKeys(places)
}

// plotOf fits the values of series into the view box, below which the legend takes some lines.
func plotOf(series []Series, legendLines int) plot {
	p := plot{height: chartHeight + legendLines*legendLine}
	p.x, p.y = axis{math.Inf(1), math.Inf(-1), plotLeft, chartWidth - plotRight}, axis{math.Inf(1), math.Inf(-1), chartHeight - plotBottom, plotTop}
	for _, s := range series {
		for i := range s.X {
			p.x.lo, p.x.hi = math.Min(p.x.lo, s.X[i]), math.Max(p.x.hi, s.X[i])
			p.y.lo, p.y.hi = math.Min(p.y.lo, s.Y[i]), math.Max(p.y.hi, s.Y[i])
		}
	}
	if len(series) == 0 {
		p.x.lo, p.x.hi, p.y.lo, p.y.hi = 0, 1, 0, 1
	}
	switch {
	case p.y.lo == 0 && p.y.hi == 0:
		p.y.hi = 1
	// A curve that is always positive is best seen from zero on, unless that squeezes it.
	case p.y.lo > 0 && (p.y.lo == p.y.hi || p.y.lo < p.y.hi*0.75):
		p.y.lo = 0
	}
	p.xTicks = ticks(p.x.lo, p.x.hi, 6)
	p.yTicks = ticks(p.y.lo, p.y.hi, 5)
	p.y.lo, p.y.hi = p.yTicks[0], p.yTicks[len(p.yTicks)-1]
	return p
}

func (c *Chart) drawAxes(s *strings.Builder, p plot) {
	for _, v := range p.yTicks {
		y := p.y.at(v)
		fmt.Fprintf(s, `<path class="grid" d="M%d %.1fH%d"/><text class="tick end" x="%d" y="%.1f">%s</text>`,
			plotLeft, y, chartWidth-plotRight, plotLeft-8, y+4, c.label(v))
	}
	for _, v := range p.xTicks {
		if v < p.x.lo || v > p.x.hi {
			continue
		}
		text := v
		if c.Doubling {
			text = math.Exp2(v)
		}
		fmt.Fprintf(s, `<text class="tick middle" x="%.1f" y="%d">%s</text>`, p.x.at(v), chartHeight-plotBottom+17, compact(text))
	}
	fmt.Fprintf(s, `<text class="axis middle" x="%d" y="%d">%s</text>`, (plotLeft+chartWidth-plotRight)/2, chartHeight-8, template.HTMLEscapeString(c.X))
	if c.Y != "" {
		middle := (plotTop + chartHeight - plotBottom) / 2
		fmt.Fprintf(s, `<text class="axis middle" transform="rotate(-90 12 %d)" x="12" y="%d">%s</text>`, middle, middle, template.HTMLEscapeString(c.Y))
	}
}

func drawSeries(s *strings.Builder, p plot, one Series) {
	look := lookOf(one)
	if len(one.X) > 1 {
		s.WriteString(`<path class="line ` + look + `" d="`)
		for i := range one.X {
			command := "L"
			if i == 0 {
				command = "M"
			}
			fmt.Fprintf(s, "%s%.1f %.1f", command, p.x.at(one.X[i]), p.y.at(one.Y[i]))
		}
		s.WriteString(`"/>`)
	}
	if !one.Dots && len(one.X) > 1 {
		return
	}
	for i := range one.X {
		fmt.Fprintf(s, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="3"/>`, look, p.x.at(one.X[i]), p.y.at(one.Y[i]))
	}
}

func lookOf(s Series) string { return fmt.Sprintf("c%d d%d", s.Colour%colours, s.Dash%dashes) }

// legendOf names the series below the plot, and says how many lines that takes.
func legendOf(series []Series) (svg string, lines int) {
	if len(series) < 2 {
		return "", 0
	}
	const character, room = 6.2, 44
	var s strings.Builder
	x, line := float64(plotLeft), 0
	for _, one := range series {
		name := clipText(one.Name, 60)
		width := room + character*float64(len([]rune(name)))
		if x > plotLeft && x+width > chartWidth {
			x, line = plotLeft, line+1
		}
		y := chartHeight + 6 + line*legendLine
		fmt.Fprintf(&s, `<path class="line %s" d="M%.1f %dh22"/><text class="tick" x="%.1f" y="%d">%s</text>`,
			lookOf(one), x, y, x+28, y+4, template.HTMLEscapeString(name))
		x += width
	}
	return s.String(), line + 1
}

// Describe says in words what the curves do: where each begins and ends, and between which values it lies.
func (c *Chart) Describe() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s, over %s.", c.Title, c.X)
	for _, one := range c.Series {
		one = one.finite()
		if len(one.Y) == 0 {
			continue
		}
		lo, hi := one.Y[0], one.Y[0]
		for _, y := range one.Y {
			lo, hi = math.Min(lo, y), math.Max(hi, y)
		}
		last := len(one.Y) - 1
		fmt.Fprintf(&s, " %s: from %s at %s to %s at %s, between %s and %s.", one.Name, c.value(one.Y[0]), compact(one.X[0]), c.value(one.Y[last]), compact(one.X[last]), c.value(lo), c.value(hi))
	}
	return s.String()
}

// value is a number as text tells it.
func (c *Chart) value(v float64) string {
	if c.Percent {
		return fmt.Sprintf("%.2f %%", 100*v)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Table lists the values of the curves under their names, those at about n places of the axis.
func (c *Chart) Table(n int) Table {
	t := Table{Title: c.Title, Head: []string{c.X}}
	places := map[float64]bool{}
	var columns []Series
	for _, s := range c.Series {
		s = s.finite()
		if len(s.X) == 0 {
			continue
		}
		t.Head = append(t.Head, s.Name)
		columns = append(columns, s)
		for i := range n {
			places[s.X[i*(len(s.X)-1)/max(1, n-1)]] = true
		}
	}
	for _, x := range sortedKeys(places) {
		row := []string{compact(x)}
		for _, s := range columns {
			row = append(row, c.valueAt(s, x))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// valueAt is the value of a curve at a place; a dash where it has none.
func (c *Chart) valueAt(s Series, x float64) string {
	for i := range s.X {
		if s.X[i] == x {
			return c.value(s.Y[i])
		}
	}
	return "–"
}
