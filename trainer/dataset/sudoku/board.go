// Package sudoku reads 9x9 Sudoku puzzles, proves that each has exactly one solution, splits them into training and
// test puzzles that are not the same puzzle in disguise, and multiplies them by the symmetries of Sudoku.
package sudoku

import (
	"fmt"
	"strings"
)

// Cells is the number of cells of a board.
const Cells = 81

// MinClues is the least number of clues with which a puzzle can have one solution.
const MinClues = 17

// Board holds a digit per cell, row after row; 0 is a blank.
type Board [Cells]byte

// ParseBoard reads 81 characters: the digits, with 0 or . for a blank.
func ParseBoard[S string | []byte](text S) (Board, error) {
	var b Board
	if len(text) != Cells {
		return b, fmt.Errorf("a board has %d cells, this one has %d", Cells, len(text))
	}
	for i := range b {
		switch c := text[i]; {
		case c == '.':
		case c >= '0' && c <= '9':
			b[i] = c - '0'
		default:
			return Board{}, fmt.Errorf("cell %d is %q: expected a digit, or 0 or . for a blank", i+1, c)
		}
	}
	return b, nil
}

// String is the board as 81 characters with . for a blank.
func (b Board) String() string {
	text := make([]byte, Cells)
	for i, d := range b {
		text[i] = '.'
		if d != 0 {
			text[i] = '0' + d
		}
	}
	return string(text)
}

// Blanks counts the cells without a digit.
func (b Board) Blanks() int {
	n := 0
	for _, d := range b {
		if d == 0 {
			n++
		}
	}
	return n
}

// Conflict names two cells of one row, column or box that hold the same digit, or returns nil.
func (b Board) Conflict() error {
	for u, unit := range units {
		var at [10]int
		for _, cell := range unit {
			d := b[cell]
			if d == 0 {
				continue
			}
			if at[d] != 0 {
				return fmt.Errorf("%s %d holds the digit %d twice", unitKind[u/9], u%9+1, d)
			}
			at[d] = int(cell) + 1
		}
	}
	return nil
}

// IsSolutionOf says whether b is a full, valid board that keeps every clue of the puzzle.
func (b Board) IsSolutionOf(puzzle Board) bool {
	for i, d := range b {
		if d == 0 || (puzzle[i] != 0 && puzzle[i] != d) {
			return false
		}
	}
	return b.Conflict() == nil
}

// Draw is the board as text, with lines between the boxes.
func (b Board) Draw() string {
	const line = "+-------+-------+-------+\n"
	var s strings.Builder
	for r := range 9 {
		if r%3 == 0 {
			s.WriteString(line)
		}
		for c := range 9 {
			if c%3 == 0 {
				s.WriteString("| ")
			}
			if d := b[9*r+c]; d == 0 {
				s.WriteString(". ")
			} else {
				fmt.Fprintf(&s, "%d ", d)
			}
		}
		s.WriteString("|\n")
	}
	s.WriteString(line)
	return s.String()
}

var unitKind = [3]string{"row", "column", "box"}

// units lists the cells of the 9 rows, the 9 columns and the 9 boxes; peers lists the 20 cells that see each cell.
var (
	units [27][9]uint8
	peers [Cells][20]uint8
)

func init() {
	for i := range 9 {
		for j := range 9 {
			units[i][j] = uint8(9*i + j)
			units[9+i][j] = uint8(9*j + i)
			units[18+i][j] = uint8(9*(3*(i/3)+j/3) + 3*(i%3) + j%3)
		}
	}
	for a := range Cells {
		n := 0
		for b := range Cells {
			sameBox := a/27 == b/27 && a%9/3 == b%9/3
			if a != b && (a/9 == b/9 || a%9 == b%9 || sameBox) {
				peers[a][n] = uint8(b)
				n++
			}
		}
	}
}
