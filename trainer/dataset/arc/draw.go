package arc

import (
	"fmt"
	"strings"
)

// palette is how the ARC's own pages show the colours: red, green, blue.
var palette = [Colours][3]uint8{
	{0x00, 0x00, 0x00}, {0x00, 0x74, 0xd9}, {0xff, 0x41, 0x36}, {0x2e, 0xcc, 0x40}, {0xff, 0xdc, 0x00},
	{0xaa, 0xaa, 0xaa}, {0xf0, 0x12, 0xbe}, {0xff, 0x85, 0x1b}, {0x7f, 0xdb, 0xff}, {0x87, 0x0c, 0x25},
}

// Draw draws the grid in a row of tokens, wherever in the 30x30 it lies: as digits, or in colours on a terminal.
func Draw(tokens []int32, colour bool) string {
	if len(tokens) != SeqLen {
		return fmt.Sprintln(tokens)
	}
	g := cropFrom(tokens, firstRow(tokens), firstCol(tokens))
	if g.Rows == 0 {
		return "(no grid)\n"
	}
	var s strings.Builder
	for r := range g.Rows {
		for _, cell := range g.Cells[r*g.Cols : (r+1)*g.Cols] {
			if colour {
				rgb := palette[cell]
				fmt.Fprintf(&s, "\x1b[48;2;%d;%d;%dm  ", rgb[0], rgb[1], rgb[2])
			} else {
				s.WriteByte('0' + cell)
			}
		}
		if colour {
			s.WriteString("\x1b[0m")
		}
		s.WriteByte('\n')
	}
	return s.String()
}

// firstRow and firstCol are where colours begin.
func firstRow(tokens []int32) int {
	for i, t := range tokens {
		if isColour(t) {
			return i / MaxSide
		}
	}
	return 0
}

func firstCol(tokens []int32) int {
	first := MaxSide
	for i, t := range tokens {
		if isColour(t) {
			first = min(first, i%MaxSide)
		}
	}
	return first % MaxSide
}
