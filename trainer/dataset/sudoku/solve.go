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
const maxGuesses = 1_000_000

// Solve returns the puzzle's solution (the first one found, if there are several) and whether it is the only one.
func Solve(puzzle Board) (Board, Verdict) {
	s, verdict := solve(&puzzle, maxGuesses)
	return s.solution, verdict
}

func solve(puzzle *Board, maxGuesses int) (search, Verdict) {
	s := search{maxGuesses: maxGuesses}
	if g, ok := newGrid(puzzle); ok {
		s.run(g)
	}
	switch {
	case s.found >= 2:
		return s, SeveralSolutions
	case s.guesses >= s.maxGuesses:
		return s, Undecided
	case s.found == 1:
		return s, Unique
	default:
		return s, NoSolution
	}
}

// search looks for solutions, up to two. Where nothing more follows from the clues it guesses in which layout of a chute a
// digit lies, and then goes on without that layout, so that every guess has two branches.
type search struct {
	maxGuesses     int
	found, guesses int
	solution       Board
	// halfGuesses is twice the number of guesses on the way to the last solution found, where every branch without it counts
	// half: whichever branch is tried first, in half of the cases it is the wrong one.
	halfGuesses int
}

func (s *search) run(g *grid) {
	if s.guesses >= s.maxGuesses || !g.propagate() {
		return
	}
	chute, layout, digit := g.fewestLayouts()
	if digit == 0 {
		s.found++
		s.solution = g.board()
		return
	}
	s.guesses++
	before, foundBefore := s.guesses, s.found
	guess := *g
	guess.choose(chute, layout, digit)
	s.run(&guess)
	if s.found >= 2 {
		return
	}
	between, foundByGuess := s.guesses, s.found > foundBefore
	g.rule(chute, layout, digit)
	s.run(g)
	switch {
	case foundByGuess:
		s.halfGuesses += 2 + s.guesses - between
	case s.found > foundBefore:
		s.halfGuesses += 2 + between - before
	}
}

// fewestLayouts returns the digit with the fewest layouts, but more than one, of the chute with the fewest open ones, and the
// first of its layouts. The digit is 0 if the grid is full.
func (g *grid) fewestLayouts() (chute, layout int, digit uint16) {
	chute, fewest := -1, 9*len(layouts)+1
	for i := range g.layouts {
		n := 0
		for _, digits := range g.layouts[i] {
			n += bits.OnesCount16(digits)
		}
		if n > 9 && n < fewest {
			chute, fewest = i, n
		}
	}
	if chute < 0 {
		return 0, 0, 0
	}
	fewest = len(layouts) + 1
	for d := uint16(1); d < 1<<9; d <<= 1 {
		n, first := 0, 0
		for k := len(layouts) - 1; k >= 0; k-- {
			if g.layouts[chute][k]&d != 0 {
				n++
				first = k
			}
		}
		if n > 1 && n < fewest {
			layout, digit, fewest = first, d, n
		}
	}
	return chute, layout, digit
}
