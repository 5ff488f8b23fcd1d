package sudoku

import "math/bits"

const allDigits = 1<<9 - 1

// grid is what is known of a board while it is solved. Sets of digits have a bit per digit.
//
// A chute is a band or a stack: three lines through three boxes, which cross in nine mini-lines of three cells. In each chute a
// digit lies once in every line and once in every box, which leaves six layouts.
type grid struct {
	// candidates are the digits that each cell may hold.
	candidates [Cells]uint16
	// settled cells hold one digit, which has been removed from the cells that see them.
	settled [Cells]bool
	// layouts are the digits that may lie in each layout of each chute.
	layouts [6][6]uint16
	// changed has a bit for each unit, and above them for each chute, in which something has changed since it was looked at.
	changed uint64
}

// layouts says for each line of a chute in which box the digit lies.
var layouts = [6][3]uint8{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

const allUnits, allChanged = 1<<27 - 1, 1<<33 - 1

// miniLines lists the cells of the mini-line of each chute, line and box: the bands first, then the stacks. marks are the bits of
// grid.changed for each cell.
var (
	miniLines [6][3][3][3]uint8
	marks     [Cells]uint64
)

func init() {
	for line := range 9 {
		for at := range 9 {
			miniLines[line/3][line%3][at/3][at%3] = uint8(9*line + at)
			miniLines[3+line/3][line%3][at/3][at%3] = uint8(9*at + line)
			r, c := line, at
			box := 3*(r/3) + c/3
			marks[9*r+c] = 1<<r | 1<<(9+c) | 1<<(18+box) | 1<<(27+r/3) | 1<<(30+c/3)
		}
	}
}

// newGrid places the clues. It returns false if they leave a cell without a digit.
func newGrid(puzzle *Board) (*grid, bool) {
	g := &grid{changed: allChanged}
	for i := range g.candidates {
		g.candidates[i] = allDigits
	}
	for i := range g.layouts {
		g.layouts[i] = [6]uint16{allDigits, allDigits, allDigits, allDigits, allDigits, allDigits}
	}
	for i, d := range puzzle {
		if d != 0 && !g.place(i, 1<<(d-1)) {
			return nil, false
		}
	}
	return g, true
}

// board is the grid when every cell has one candidate.
func (g *grid) board() Board {
	var b Board
	for i, c := range g.candidates {
		b[i] = byte(bits.TrailingZeros16(c)) + 1
	}
	return b
}

// place settles a cell on a digit and follows every cell that is thereby left with one digit.
// It returns false if that leaves some cell with none.
func (g *grid) place(cell int, digit uint16) bool {
	if g.candidates[cell]&digit == 0 {
		return false
	}
	if g.settled[cell] {
		return true
	}
	g.candidates[cell] = digit
	g.settled[cell] = true
	g.changed |= marks[cell]
	for _, p := range peers[cell] {
		if !g.remove(int(p), digit) {
			return false
		}
	}
	return true
}

// remove takes digits away from a cell, and settles it if one is left. It returns false if none is.
func (g *grid) remove(cell int, digits uint16) bool {
	c := g.candidates[cell]
	if c&digits == 0 {
		return true
	}
	c &^= digits
	g.candidates[cell] = c
	g.changed |= marks[cell]
	return c != 0 && (c&(c-1) != 0 || g.place(cell, c))
}

// choose leaves a digit one layout in a chute.
func (g *grid) choose(chute, layout int, digit uint16) {
	for k := range g.layouts[chute] {
		if k != layout {
			g.layouts[chute][k] &^= digit
		}
	}
	g.changed |= 1 << (27 + chute)
}

// rule out a layout of a digit in a chute.
func (g *grid) rule(chute, layout int, digit uint16) {
	g.layouts[chute][layout] &^= digit
	g.changed |= 1 << (27 + chute)
}

// propagate draws the conclusions of single cells, units and chutes until there are no more.
// It returns false if they contradict each other.
func (g *grid) propagate() bool {
	for g.changed != 0 {
		next := bits.TrailingZeros64(g.changed)
		g.changed &^= 1 << next
		if next < 27 {
			if !g.hiddenSingles(next) {
				return false
			}
		} else if !g.lockedCandidates(next - 27) {
			return false
		}
	}
	return true
}

// hiddenSingles settles the digits that have one cell left in a unit. It returns false if a digit has none.
func (g *grid) hiddenSingles(unit int) bool {
	var once, twice uint16
	for _, cell := range units[unit] {
		c := g.candidates[cell]
		twice |= once & c
		once |= c
	}
	if once != allDigits {
		return false
	}
	hidden := once &^ twice
	if hidden == 0 {
		return true
	}
	for _, cell := range units[unit] {
		h := g.candidates[cell] & hidden
		if h == 0 || g.settled[cell] {
			continue
		}
		if h&(h-1) != 0 || !g.place(int(cell), h) {
			return false
		}
	}
	return true
}

// lockedCandidates takes digits out of the mini-lines of a chute in which none of their layouts puts them, and out of all but one
// where they are the only three of that one. It returns false if a digit has no layout left, or a mini-line too few digits.
func (g *grid) lockedCandidates(chute int) bool {
	var has [3][3]uint16 // digits of each mini-line, by line and box
	for line := range 3 {
		for box := range 3 {
			cells := &miniLines[chute][line][box]
			has[line][box] = g.candidates[cells[0]] | g.candidates[cells[1]] | g.candidates[cells[2]]
		}
	}
	open := &g.layouts[chute]
	for k, in := range layouts {
		open[k] &= has[0][in[0]] & has[1][in[1]] & has[2][in[2]]
	}
	possible := spread(open)
	for line := range 3 {
		for box := range 3 {
			only := possible[line][box]
			switch n := bits.OnesCount16(only); {
			case n < 3:
				return false
			case n > 3:
				continue
			}
			for k, in := range layouts {
				if int(in[line]) != box {
					open[k] &^= only
				}
			}
		}
	}
	possible = spread(open)
	if possible[0][0]|possible[0][1]|possible[0][2] != allDigits {
		return false
	}
	for line := range 3 {
		for box := range 3 {
			gone := has[line][box] &^ possible[line][box]
			if gone == 0 {
				continue
			}
			for _, cell := range miniLines[chute][line][box] {
				if !g.remove(int(cell), gone) {
					return false
				}
			}
		}
	}
	return true
}

// spread returns the digits that some layout puts into each mini-line, by line and box.
func spread(open *[6]uint16) (possible [3][3]uint16) {
	for k, in := range layouts {
		for line, box := range in {
			possible[line][box] |= open[k]
		}
	}
	return possible
}
