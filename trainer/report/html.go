package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"image/color"
	"io"
	"strings"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// Page is a self-contained HTML page: tables of figures, bars, and examples as SVG.
type Page struct {
	Title  string
	Tables []Table
	Bars   []Bars
	Sheets []NamedSheet
}

// Table is figures under headings.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
}

// Bars are shares of a whole, with a name and a figure each.
type Bars struct {
	Title string
	Bars  []BarValue
}

// BarValue is one bar; Share is from 0 to 1.
type BarValue struct {
	Name, Figure string
	Share        float64
}

// Percent is the bar's length.
func (b BarValue) Percent() string { return fmt.Sprintf("%.2f", 100*min(1, max(0, b.Share))) }

// NamedSheet is a sheet with a heading.
type NamedSheet struct {
	Title string
	Sheet Sheet
}

// Picture is a tile as SVG.
type Picture struct {
	Caption      string
	Input, Label template.HTML
}

// Pictures are the sheet's tiles as SVG.
func (n NamedSheet) Pictures() []Picture {
	list := make([]Picture, len(n.Sheet.Tiles))
	for i, t := range n.Sheet.Tiles {
		cell := t.cellSize()
		list[i] = Picture{t.Caption, n.Sheet.Palette.svg(t.Input, cell), n.Sheet.Palette.svg(t.Label, cell)}
	}
	return list
}

// WriteHTML writes the page.
func (p *Page) WriteHTML(w io.Writer) error { return page.Execute(w, p) }

// svg draws a board: a path for each colour, since a rectangle for each cell makes pages of megabytes. Nothing in it comes
// from outside but numbers.
func (p *Palette) svg(b Board, cell int) template.HTML {
	var order []color.RGBA
	paths := map[color.RGBA]*strings.Builder{}
	var text strings.Builder
	for i, token := range b.Tokens {
		look, x, y := p.cell(token), i%b.Width*cell, i/b.Width*cell
		if paths[look.Fill] == nil {
			paths[look.Fill] = &strings.Builder{}
			order = append(order, look.Fill)
		}
		fmt.Fprintf(paths[look.Fill], "M%d %dh%dv%dh-%dz", x, y, cell, cell, cell)
		if look.Text != "" && cell >= textCellMin {
			fmt.Fprintf(&text, `<text x="%d" y="%d" fill="%s">%s</text>`, x+cell/2, y+cell/2+5, hex(inkOf(look, b.mark(i))), template.HTMLEscapeString(look.Text))
		}
	}
	var s strings.Builder
	width, height := b.Width*cell+2, b.Height*cell+2
	fmt.Fprintf(&s, `<svg width="%d" height="%d" viewBox="0 0 %d %d">`, width, height, width, height)
	for _, fill := range order {
		fmt.Fprintf(&s, `<path fill="%s" d="%s"/>`, hex(fill), paths[fill])
	}
	for _, l := range p.lines(b, cell) {
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, l.at.Min.X, l.at.Min.Y, l.at.Dx(), l.at.Dy(), hex(l.ink))
	}
	return template.HTML(s.String() + text.String() + "</svg>")
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }
