package sudoku

import "math/bits"

// Verdict is what the solver found out about a puzzle.
type Verdict int

// The verdicts.
const (
	// NoSolution: no board keeps the clues.
	NoSolution Verdict = iota
	// Unique: exactly one board does, as for every proper puzzle.
	Unique
	// SeveralSolutions: at least two boards do.
	SeveralSolutions
	// Undecided: the search was given up. No puzzle of the known collections needs a thousandth of that effort.
	Undecided
)

// maxGuesses bounds the search, so that a hostile file cannot hold a build for hours.
const maxGuesses = 2_000_000

const allDigits = 1<<9 - 1

// Solve returns the puzzle's solution (the first one found, if there are several) and whether it is the only one.
func Solve(puzzle Board) (Board, Verdict) {
	if puzzle.Conflict() != nil {
		return Board{}, NoSolution
	}
	s := search{guesses: maxGuesses}
	var g grid
	for i := range g.candidates {
		g.candidates[i] = allDigits
	}
	for i, d := range puzzle {
		if d != 0 && !g.place(i, 1<<(d-1)) {
			return Board{}, NoSolution
		}
	}
	s.run(&g)
	switch {
	case s.found >= 2:
		return s.solution, SeveralSolutions
	case s.guesses <= 0:
		return s.solution, Undecided
	case s.found == 1:
		return s.solution, Unique
	default:
		return Board{}, NoSolution
	}
}

// grid holds for every cell the set of digits that it may still hold, a bit per digit. A cell is settled when its digit
// has also been removed from the cells that see it.
type grid struct {
	candidates [Cells]uint16
	settled    [Cells]bool
}

// place settles a cell on a digit and follows every cell that is thereby left with one digit.
// It returns false if that leaves some cell with none.
func (g *grid) place(cell int, digit uint16) bool {
	if g.candidates[cell]&digit == 0 {
		return false
	}
	g.candidates[cell] = digit
	if g.settled[cell] {
		return true
	}
	g.settled[cell] = true
	for _, p := range peers[cell] {
		c := g.candidates[p]
		if c&digit == 0 {
			continue
		}
		c &^= digit
		g.candidates[p] = c
		if c == 0 || (c&(c-1) == 0 && !g.place(int(p), c)) {
			return false
		}
	}
	return true
}

// placeHidden settles every digit that has one cell left in some unit, until there is none.
// It returns false if a digit has no cell left in a unit.
func (g *grid) placeHidden() bool {
	for again := true; again; {
		again = false
		for u := range units {
			var once, twice uint16
			for _, cell := range units[u] {
				c := g.candidates[cell]
				twice |= once & c
				once |= c
			}
			if once != allDigits {
				return false
			}
			hidden := once &^ twice
			if hidden == 0 {
				continue
			}
			for _, cell := range units[u] {
				h := g.candidates[cell] & hidden
				if h == 0 || g.settled[cell] {
					continue
				}
				if h&(h-1) != 0 || !g.place(int(cell), h) {
					return false
				}
				again = true
			}
		}
	}
	return true
}

// fewest returns the open cell with the fewest digits left, or -1 if the grid is full.
func (g *grid) fewest() int {
	best, least := -1, 10
	for i, c := range g.candidates {
		if g.settled[i] {
			continue
		}
		if n := bits.OnesCount16(c); n < least {
			best, least = i, n
			if n == 2 {
				break
			}
		}
	}
	return best
}

type search struct {
	found    int
	guesses  int
	solution Board
}

// run counts solutions below g, up to two.
func (s *search) run(g *grid) {
	if !g.placeHidden() {
		return
	}
	cell := g.fewest()
	if cell < 0 {
		if s.found == 0 {
			for i, c := range g.candidates {
				s.solution[i] = byte(bits.TrailingZeros16(c)) + 1
			}
		}
		s.found++
		return
	}
	for left := g.candidates[cell]; left != 0 && s.found < 2 && s.guesses > 0; left &= left - 1 {
		s.guesses--
		next := *g
		if next.place(cell, left&-left) {
			s.run(&next)
		}
	}
}
