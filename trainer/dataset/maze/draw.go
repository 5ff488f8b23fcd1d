package maze

import (
	"fmt"
	"strings"
)

// ParseText reads a maze as people write it: all cells in one line, or a line for each row. A point is a free cell, too, and
// so is what is missing at the end of a row.
func ParseText(text string, size int) (Grid, error) {
	text = strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), ".", " "), "\n")
	rows := strings.Split(text, "\n")
	if len(rows) > 1 {
		if len(rows) != size {
			return Grid{}, fmt.Errorf("%d rows: expected %d", len(rows), size)
		}
		for i, row := range rows {
			if len(row) > size {
				return Grid{}, fmt.Errorf("row %d has %d cells: expected %d", i+1, len(row), size)
			}
			rows[i] = row + strings.Repeat(" ", size-len(row))
		}
	}
	text = strings.Join(rows, "")
	if len(text) != size*size {
		return Grid{}, fmt.Errorf("%d cells: expected %d, or %d rows of %d", len(text), size*size, size, size)
	}
	g, err := ParseGrid(text)
	if err != nil {
		return Grid{}, err
	}
	_, _, err = g.Ends()
	return g, err
}

// Draw is the grid as a line for each row; ParseText reads it again.
func (g Grid) Draw() string {
	var s strings.Builder
	text := g.String()
	for r := range g.Size {
		s.WriteString(text[r*g.Size:(r+1)*g.Size] + "\n")
	}
	return s.String()
}

// colours are those of the 256 of a terminal, by token: what is unknown, walls, free cells, start, goal, path.
var colours = [VocabSize]int{201, 238, 254, 33, 196, 220}

// DrawColour is the grid as squares of colour: two rows in each line, the upper one as the upper half of a character. The
// start is blue, the goal red, the path yellow.
func (g Grid) DrawColour() string {
	const upperHalf, reset = "▀", "\x1b[0m"
	var s strings.Builder
	for r := 0; r < g.Size; r += 2 {
		last := ""
		for c := range g.Size {
			set := fmt.Sprintf("\x1b[38;5;%dm", colours[g.Cells[r*g.Size+c]])
			if r+1 < g.Size {
				set += fmt.Sprintf("\x1b[48;5;%dm", colours[g.Cells[(r+1)*g.Size+c]])
			}
			if set != last {
				s.WriteString(set)
				last = set
			}
			s.WriteString(upperHalf)
		}
		s.WriteString(reset + "\n")
	}
	return s.String()
}
