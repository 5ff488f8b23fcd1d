package sudoku

import (
	"context"
	"slices"
	"sync/atomic"
)

// Rate returns how hard a puzzle is: the number of guesses that a search needs on average until it finds the solution, if it
// tries the two branches of each guess in random order. It is rounded to the nearest whole number, halves upwards.
//
// Between guesses the search draws every conclusion from naked and hidden singles and from locked candidates, so that 0 is a
// puzzle for which these suffice. It guesses as the solver tdoku does, whose guesses the published ratings are: on a digit's
// layout in the band or stack with the fewest. It is the canonical form that is rated, so that disguises don't matter.
//
// The puzzle must have its one answer.
func Rate(p *Puzzle) int {
	form := p.Canonical()
	s, _ := solve(&form, maxGuesses)
	return (s.halfGuesses + 1) / 2
}

// RateMissing rates every puzzle whose source gives no rating, on all cores.
func RateMissing(ctx context.Context, puzzles []Puzzle, progress func(done int)) error {
	var done atomic.Int64
	return eachChunk(ctx, len(puzzles), func(from, to int) error {
		for i := from; i < to; i++ {
			if puzzles[i].Rating == NoRating {
				puzzles[i].Rating = Rate(&puzzles[i])
			}
		}
		progress(int(done.Add(int64(to - from))))
		return nil
	})
}

// Ratings is a range of ratings; nil is no bound.
type Ratings struct{ Min, Max *int32 }

// Bounded says whether there is a bound.
func (r Ratings) Bounded() bool { return r.Min != nil || r.Max != nil }

// Keep removes the puzzles with a rating out of range. Those without a rating stay.
func (r Ratings) Keep(puzzles []Puzzle) []Puzzle {
	return slices.DeleteFunc(puzzles, func(p Puzzle) bool {
		return p.Rating != NoRating && (r.Min != nil && p.Rating < int(*r.Min) || r.Max != nil && p.Rating > int(*r.Max))
	})
}
