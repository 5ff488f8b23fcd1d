package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The page's measures in pixels: a column and a row of the grid, and the room around a plot within its panel.
const (
	columnWidth, rowHeight         = 75, 38
	gap                            = 8
	plotLeft, plotRight            = 58, 12
	plotTop, plotBottom, legendRow = 34, 58, 16
	points                         = 240
)

// colours are those of the series, in their order.
var colours = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#37d2c0", "#e0b400", "#8ab8ff", "#ffa6b0"}

// series is a line: a value for every point in time, NaN where there is none.
type series struct {
	Name   string
	Colour string
	Values []float64
	base   []float64 // what it stands on, where lines are stacked
}

// draw asks a Prometheus for every query of the dashboard and writes a page with its panels.
func draw(ctx context.Context, file, prometheus string, window time.Duration, out string) error {
	d, err := read(file)
	if err != nil {
		return err
	}
	end := time.Now().Truncate(time.Second)
	step := max(time.Second, (window / points).Round(time.Second))
	ask := asker{url: prometheus, start: end.Add(-window), end: end, step: step}
	var page struct {
		Title  string
		Width  int
		Height int
		Panels []template.HTML
	}
	page.Title, page.Width = d.Title, 24*columnWidth+2*gap
	for _, p := range d.Panels {
		page.Height = max(page.Height, (p.GridPos.Y+p.GridPos.H)*rowHeight+70)
		var lines []series
		for _, t := range p.Targets {
			found, err := ask.query(ctx, t)
			if err != nil {
				return fmt.Errorf("panel %s: %w", p.Title, err)
			}
			lines = append(lines, found...)
		}
		html, err := panel(p, lines, ask)
		if err != nil {
			return err
		}
		page.Panels = append(page.Panels, html)
	}
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, page); err != nil {
		return err
	}
	return os.WriteFile(out, text.Bytes(), 0o644)
}

// asker evaluates queries over a window.
type asker struct {
	url        string
	start, end time.Time
	step       time.Duration
}

// last is the index of the last point in time.
func (a asker) last() int { return max(1, int(a.end.Sub(a.start)/a.step)) }

func (a asker) query(ctx context.Context, t Target) ([]series, error) {
	seconds := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	form := url.Values{
		"query": {expand(t.Expr, "30s")}, "start": {seconds(a.start)}, "end": {seconds(a.end)}, "step": {fmt.Sprintf("%.0f", a.step.Seconds())},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/api/v1/query_range?"+form.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", response.Status, err)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", t.Expr, answer.Error)
	}
	count := a.last() + 1
	var all []series
	for _, result := range answer.Data.Result {
		s := series{Name: legend(t.LegendFormat, result.Metric), Values: make([]float64, count)}
		for i := range s.Values {
			s.Values[i] = math.NaN()
		}
		for _, pair := range result.Values {
			at, _ := pair[0].(float64)
			text, _ := pair[1].(string)
			x, err := strconv.ParseFloat(text, 64)
			if i := int(math.Round((at - float64(a.start.Unix())) / a.step.Seconds())); err == nil && i >= 0 && i < count {
				s.Values[i] = x
			}
		}
		all = append(all, s)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, nil
}

var placeholder = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// legend fills labels into a legend's format.
func legend(format string, labels map[string]string) string {
	return strings.TrimSpace(placeholder.ReplaceAllStringFunc(format, func(match string) string {
		return labels[placeholder.FindStringSubmatch(match)[1]]
	}))
}

// panel draws one panel at its place.
func panel(p Panel, lines []series, a asker) (template.HTML, error) {
	g := p.GridPos
	box := struct {
		Panel                    Panel
		X, Y, W, H, Right, Floor int
		Lines                    []series
		Plot                     template.HTML
		Legend                   template.HTML
	}{Panel: p, X: g.X*columnWidth + gap, Y: g.Y*rowHeight + 62, W: g.W*columnWidth - gap, H: g.H*rowHeight - gap}
	for i := range lines {
		lines[i].Colour = colours[i%len(colours)]
	}
	if p.Type != "row" {
		box.Plot, box.Legend = plot(p, lines, a, box.W, box.H), legendRows(lines, box.W, box.H)
	}
	var text bytes.Buffer
	err := panelTemplate.Execute(&text, box)
	return template.HTML(text.String()), err
}

// plot draws axes and lines.
func plot(p Panel, lines []series, a asker, width, height int) template.HTML {
	stacked := p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	if stacked {
		stack(lines)
	}
	low, high := extent(p, lines)
	ticks, step := scale(low, high)
	low, high = math.Min(low, ticks[0]), math.Max(high, ticks[len(ticks)-1])
	left, right, top, bottom := float64(plotLeft), float64(width-plotRight), float64(plotTop), float64(height-plotBottom)
	x := func(i int) float64 { return left + (right-left)*float64(i)/float64(a.last()) }
	y := func(v float64) float64 { return bottom - (bottom-top)*(v-low)/(high-low) }
	var out strings.Builder
	for _, tick := range ticks {
		fmt.Fprintf(&out, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text class="axis" text-anchor="end" x="%.1f" y="%.1f">%s</text>`,
			left, right, y(tick), y(tick), left-6, y(tick)+4, unit(tick, step, p.FieldConfig.Defaults.Unit))
	}
	for i := 0; i <= 4; i++ {
		at := a.start.Add(a.end.Sub(a.start) * time.Duration(i) / 4)
		anchor := []string{"start", "middle", "middle", "middle", "end"}[i]
		fmt.Fprintf(&out, `<text class="axis" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`, anchor, left+(right-left)*float64(i)/4, bottom+15, at.UTC().Format("15:04:05"))
	}
	for i := len(lines) - 1; i >= 0; i-- {
		trace(&out, lines[i], x, y, math.Max(low, 0), stacked)
	}
	if len(lines) == 0 {
		fmt.Fprintf(&out, `<text class="none" text-anchor="middle" x="%.1f" y="%.1f">No data</text>`, (left+right)/2, (top+bottom)/2)
	}
	return template.HTML(out.String())
}

// stack puts every line on those before it.
func stack(lines []series) {
	var under []float64
	for k := range lines {
		if under == nil {
			under = make([]float64, len(lines[k].Values))
		}
		lines[k].base = append([]float64(nil), under...)
		for i, v := range lines[k].Values {
			if !math.IsNaN(v) {
				under[i] += v
				lines[k].Values[i] = under[i]
			}
		}
	}
}

// trace draws one line in as many pieces as it has, with a shade below.
func trace(out *strings.Builder, s series, x func(int) float64, y func(float64) float64, floor float64, stacked bool) {
	opacity := 0.08
	if stacked {
		opacity = 0.35
	}
	flush := func(from, to int) {
		if to-from < 1 {
			return
		}
		var upper, lower strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&upper, "%.1f,%.1f ", x(i), y(s.Values[i]))
		}
		for i := to - 1; i >= from; i-- {
			base := floor
			if s.base != nil {
				base = s.base[i]
			}
			fmt.Fprintf(&lower, "%.1f,%.1f ", x(i), y(base))
		}
		fmt.Fprintf(out, `<polygon points="%s%s" fill="%s" fill-opacity="%.2f"/><polyline points="%s" stroke="%s" class="line"/>`,
			&upper, &lower, s.Colour, opacity, &upper, s.Colour)
	}
	from := 0
	for i, v := range s.Values {
		if math.IsNaN(v) {
			flush(from, i)
			from = i + 1
		}
	}
	flush(from, len(s.Values))
}

// extent is what the axis must cover.
func extent(p Panel, lines []series) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range lines {
		for _, v := range s.Values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	d := p.FieldConfig.Defaults
	if d.Min != nil {
		low = math.Min(low, *d.Min)
	}
	if d.Max != nil {
		high = math.Max(high, *d.Max)
	}
	if math.IsInf(low, 0) || math.IsInf(high, 0) || low > high {
		return 0, 1
	}
	if low == high {
		return low, low + math.Max(math.Abs(low)/2, 1)
	}
	return low, high
}

// scale chooses round numbers for the axis.
func scale(low, high float64) (ticks []float64, step float64) {
	step = math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, factor := range []float64{1, 2, 2.5, 5, 10} {
		if (high-low)/(step*factor) <= 5 {
			step *= factor
			break
		}
	}
	for v := math.Floor(low/step) * step; v < high+step*0.999; v += step {
		ticks = append(ticks, v)
	}
	return ticks, step
}

// unit writes a value of the axis in the panel's unit.
func unit(v, step float64, name string) string {
	digits := func(step float64) int { return max(0, int(-math.Floor(math.Log10(step)+1e-9))) }
	switch name {
	case "percentunit":
		return strconv.FormatFloat(v*100, 'f', digits(step*100), 64) + " %"
	case "s":
		if step < 0.5 {
			return strconv.FormatFloat(v*1000, 'f', digits(step*1000), 64) + " ms"
		}
		return strconv.FormatFloat(v, 'f', digits(step), 64) + " s"
	case "bytes":
		return strconv.FormatFloat(v/(1<<20), 'f', digits(step/(1<<20)), 64) + " MiB"
	case "reqps":
		return strconv.FormatFloat(v, 'f', digits(step), 64) + "/s"
	}
	return strconv.FormatFloat(v, 'f', digits(step), 64)
}

// legendRows names the lines below the plot, as many as there is room for.
func legendRows(lines []series, width, height int) template.HTML {
	var out strings.Builder
	x, y := 10, height-2*legendRow+6
	for i, s := range lines {
		room := 22 + 7*len(s.Name)
		if x+room > width-30 {
			x, y = 10, y+legendRow
		}
		if y > height-4 {
			fmt.Fprintf(&out, `<text class="axis" x="%d" y="%d">+%d</text>`, width-26, y-legendRow, len(lines)-i)
			break
		}
		fmt.Fprintf(&out, `<rect x="%d" y="%d" width="12" height="3" fill="%s"/><text class="legend" x="%d" y="%d">%s</text>`,
			x, y-5, s.Colour, x+16, y, template.HTMLEscapeString(s.Name))
		x += room
	}
	return template.HTML(out.String())
}

var panelTemplate = template.Must(template.New("panel").Parse(`<g transform="translate({{.X}},{{.Y}})">
{{if eq .Panel.Type "row"}}<text class="row" x="4" y="22">▾ {{.Panel.Title}}</text>
{{else}}<rect class="panel" width="{{.W}}" height="{{.H}}" rx="3"/><text class="title" x="10" y="21">{{.Panel.Title}}</text>{{.Plot}}{{.Legend}}{{end}}</g>
`))

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{{.Title}}</title><style>
body { margin: 0; background: #111217; }
text { font-family: "DejaVu Sans", sans-serif; fill: #ccccdc; }
.name { font-size: 19px; font-weight: bold; } .row { font-size: 15px; font-weight: bold; }
.title { font-size: 13px; font-weight: bold; } .axis { font-size: 10.5px; fill: #8e8e9c; } .legend { font-size: 11px; } .none { fill: #8e8e9c; font-size: 13px; }
.panel { fill: #181b1f; stroke: #2c3038; } .grid { stroke: #2a2d33; } .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
</style></head><body><svg width="{{.Width}}" height="{{.Height}}" xmlns="http://www.w3.org/2000/svg">
<text class="name" x="12" y="34">{{.Title}}</text>
{{range .Panels}}{{.}}{{end}}</svg></body></html>
`))
