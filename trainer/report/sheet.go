package report

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Tile is an example on a sheet: its input beside its label.
type Tile struct {
	Caption      string
	Input, Label Board
}

// Sheet is a picture of examples.
type Sheet struct {
	Palette Palette
	Tiles   []Tile
}

// The sizes of a sheet in pixels. A board is at most about boardSize wide: cells are smaller the more there are.
const (
	boardSize   = 270
	maxCell     = 24
	minCell     = 4
	textCellMin = 14 // smaller cells have no room for a character
	gridCellMin = 10 // nor, smaller than this, for a line beside them
	gap         = 16
	arrow       = 26
	caption     = 22
)

// cellSize is the size of the cells of a tile, whose boards have the same.
func (t *Tile) cellSize() int {
	most := max(1, t.Input.Width, t.Input.Height, t.Label.Width, t.Label.Height)
	return min(maxCell, max(minCell, boardSize/most))
}

// layout is where things are on a sheet.
type layout struct {
	columns         int
	width, height   int // of a tile
	input           int // width of the place for an input
	sheetW, sheetH  int
	captionCapacity int
}

func (s *Sheet) layout() layout {
	l, label := layout{}, 0
	for _, t := range s.Tiles {
		cell := t.cellSize()
		l.input, label = max(l.input, t.Input.Width*cell), max(label, t.Label.Width*cell)
		l.height = max(l.height, t.Input.Height*cell, t.Label.Height*cell)
	}
	l.width, l.height = l.input+arrow+label, l.height+caption
	// About as wide as a screen: four thirds of its height.
	l.columns = int(math.Ceil(math.Sqrt(float64(len(s.Tiles)) * 4 / 3 * float64(l.height+gap) / float64(l.width+2*gap))))
	l.columns = max(1, min(l.columns, len(s.Tiles)))
	for _, columns := range []int{l.columns, l.columns - 1, l.columns + 1} {
		if columns > 0 && len(s.Tiles)%columns == 0 {
			l.columns = columns // the last line is full, too
			break
		}
	}
	rows := (len(s.Tiles) + l.columns - 1) / l.columns
	l.sheetW, l.sheetH = l.columns*(l.width+2*gap), rows*(l.height+gap)+gap
	l.captionCapacity = l.width / basicfont.Face7x13.Advance
	return l
}

var (
	paper = rgb(0xfbfbf9)
	thin  = rgb(0xc4c9d0)
	blue  = rgb(0x1f5fbf)
	red   = rgb(0xd23c3c)
)

// WritePNG draws the sheet.
func (s *Sheet) WritePNG(w io.Writer) error {
	l := s.layout()
	img := image.NewRGBA(image.Rect(0, 0, max(1, l.sheetW), max(1, l.sheetH)))
	draw.Draw(img, img.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	for i, t := range s.Tiles {
		x, y := gap+i%l.columns*(l.width+2*gap), gap+i/l.columns*(l.height+gap)
		write(img, x, y+12, clipText(t.Caption, l.captionCapacity), slate)
		y += caption
		cell := t.cellSize()
		right := x + t.Input.Width*cell
		s.paint(img, t.Input, x, y, cell)
		write(img, right+arrow/2-7, y+min(t.Input.Height, t.Label.Height)*cell/2+4, "->", slate)
		s.paint(img, t.Label, right+arrow, y, cell)
	}
	return png.Encode(w, img)
}

// paint draws a board with its top left corner at x, y.
func (s *Sheet) paint(img *image.RGBA, b Board, x, y, cell int) {
	for i, token := range b.Tokens {
		look := s.Palette.cell(token)
		at := image.Rect(x+i%b.Width*cell, y+i/b.Width*cell, x+(i%b.Width+1)*cell, y+(i/b.Width+1)*cell)
		draw.Draw(img, at, image.NewUniform(look.Fill), image.Point{}, draw.Src)
		if look.Text != "" && cell >= textCellMin {
			write(img, at.Min.X+(cell-7*len(look.Text))/2+1, at.Min.Y+cell/2+5, look.Text, inkOf(look, b.mark(i)))
		}
	}
	for _, line := range s.Palette.lines(b, cell) {
		draw.Draw(img, line.at.Add(image.Pt(x, y)), image.NewUniform(line.ink), image.Point{}, draw.Src)
	}
}

// inkOf is the colour of a cell's text: what was filled in stands out from what was given.
func inkOf(look Cell, m Mark) color.RGBA {
	switch {
	case m&Wrong != 0:
		return red
	case m&Filled != 0 && look.Ink == slate:
		return blue
	}
	return look.Ink
}

// line is a line of a board's grid, as a filled rectangle.
type line struct {
	at  image.Rectangle
	ink color.RGBA
}

// lines are the grid of a board: a frame, thin lines between cells that have room for them, heavy ones between boxes.
func (p *Palette) lines(b Board, cell int) []line {
	w, h := b.Width*cell, b.Height*cell
	var light, heavy []line
	add := func(n int, strip func(at, thick int) image.Rectangle) {
		for i := 0; i <= n; i++ {
			switch {
			case i == 0 || i == n || p.Box > 0 && i%p.Box == 0:
				heavy = append(heavy, line{strip(i*cell, 1+p.Box/3), slate})
			case cell >= gridCellMin:
				light = append(light, line{strip(i*cell, 1), thin})
			}
		}
	}
	add(b.Width, func(x, thick int) image.Rectangle { return image.Rect(x, 0, x+thick, h+thick) })
	add(b.Height, func(y, thick int) image.Rectangle { return image.Rect(0, y, w+thick, y+thick) })
	return append(light, heavy...)
}

func write(img *image.RGBA, x, y int, text string, ink color.RGBA) {
	d := font.Drawer{Dst: img, Src: image.NewUniform(ink), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}

// clipText shortens text to n characters.
func clipText(text string, n int) string {
	characters := []rune(text)
	if len(characters) <= n {
		return text
	}
	return string(characters[:max(0, n-2)]) + ".."
}
