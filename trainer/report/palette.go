package report

import (
	"image/color"
	"math"
	"strconv"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// Cell is what a token looks like.
type Cell struct {
	// Glyph is one character, for terminals; Text is what pictures write into the cell, often nothing.
	Glyph rune
	Text  string
	Fill  color.RGBA
	Ink   color.RGBA
}

// Palette is what the tokens of a task look like, and how many of them make a row.
type Palette struct {
	Cells []Cell
	Width int
	// Box is the distance of heavier lines; 0 means none.
	Box int
	// Pad is the token around a board that is smaller than the plane; -1 if boards fill it.
	Pad int32
}

var (
	white = color.RGBA{0xff, 0xff, 0xff, 0xff}
	black = color.RGBA{0, 0, 0, 0xff}
	slate = color.RGBA{0x22, 0x2a, 0x35, 0xff}
)

func rgb(hex uint32) color.RGBA {
	return color.RGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 0xff}
}

// PaletteOf returns the palette of a task's tokens. A dataset whose sizes are not those of its task is drawn like one of
// an unknown task.
func PaletteOf(task v1alpha1.Task, m *dataset.Metadata) Palette {
	side := int(math.Sqrt(float64(m.SeqLen)))
	switch {
	case side*side != m.SeqLen:
	case task == v1alpha1.TaskSudoku && m.VocabSize == 11:
		return sudoku(side)
	case task == v1alpha1.TaskMaze && m.VocabSize == 6:
		return maze(side)
	case task == v1alpha1.TaskARC && m.VocabSize == 12:
		return arc(side, m.PadID)
	}
	return plain(m, side)
}

// sudoku has token 1 for a blank and 2 to 10 for the digits.
func sudoku(side int) Palette {
	p := Palette{Width: side, Box: 3, Pad: -1, Cells: []Cell{{'?', "?", white, black}, {'.', "", white, black}}}
	for digit := 1; digit <= 9; digit++ {
		text := strconv.Itoa(digit)
		p.Cells = append(p.Cells, Cell{rune(text[0]), text, white, slate})
	}
	return p
}

// maze has padding, then "# SGo".
func maze(side int) Palette {
	return Palette{Width: side, Pad: -1, Cells: []Cell{
		{'?', "", rgb(0xd0d0d0), black}, {'#', "", rgb(0x2b3440), white}, {' ', "", rgb(0xf7f7f4), black},
		{'S', "S", rgb(0x2a9d4a), white}, {'G', "G", rgb(0xd23c3c), white}, {'o', "", rgb(0xf5b942), black},
	}}
}

// arc has padding, the end of a grid, and the colours 0 to 9 as the ARC Prize shows them.
func arc(side int, pad int32) Palette {
	p := Palette{Width: side, Pad: pad, Cells: []Cell{{' ', "", rgb(0xf2f2f2), black}, {'+', "", rgb(0xdadfe6), black}}}
	for digit, hex := range []uint32{0x000000, 0x0074d9, 0xff4136, 0x2ecc40, 0xffdc00, 0xaaaaaa, 0xf012be, 0xff851b, 0x7fdbff, 0x870c25} {
		p.Cells = append(p.Cells, Cell{rune('0' + digit), "", rgb(hex), white})
	}
	return p
}

// glyphs stand for tokens of which nothing is known.
const glyphs = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// plainWidth is the longest row of a board that is no square.
const plainWidth = 32

// plain gives every token a colour of its own and its number.
func plain(m *dataset.Metadata, side int) Palette {
	p := Palette{Width: side, Pad: -1}
	if side*side != m.SeqLen {
		p.Width = min(m.SeqLen, plainWidth)
	}
	for token := range min(m.VocabSize, 4096) {
		glyph := '*'
		if token < len(glyphs) {
			glyph = rune(glyphs[token])
		}
		// Hues a golden angle apart: neighbouring tokens are easy to tell from each other.
		hue := math.Mod(float64(token)*137.508, 360)
		p.Cells = append(p.Cells, Cell{glyph, strconv.Itoa(token), pastel(hue), slate})
	}
	p.Cells[0].Fill = white
	return p
}

// pastel is a light colour of a hue in degrees.
func pastel(hue float64) color.RGBA {
	channel := func(shift float64) uint8 {
		return uint8(200 + 50*math.Cos((hue-shift)*math.Pi/180))
	}
	return color.RGBA{channel(0), channel(120), channel(240), 0xff}
}

// cell is what a token looks like; a token that no task has looks like a question.
func (p *Palette) cell(token int32) Cell {
	if token < 0 {
		return Cell{'-', "", rgb(0xf2f2f2), black} // a position without a label
	}
	if int(token) >= len(p.Cells) {
		return Cell{'?', "?", white, rgb(0xd23c3c)}
	}
	return p.Cells[token]
}
