package sudoku

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// Deduplicate keeps the first of several puzzles with the same clues.
func Deduplicate(puzzles []Puzzle) []Puzzle {
	seen := make(map[Board]struct{}, len(puzzles))
	return slices.DeleteFunc(puzzles, func(p Puzzle) bool {
		_, again := seen[p.Question]
		seen[p.Question] = struct{}{}
		return again
	})
}

// Rated keeps the puzzles with at least the given rating.
func Rated(source string, puzzles []Puzzle, least int) ([]Puzzle, error) {
	for i := range puzzles {
		if puzzles[i].Rating == NoRating {
			return nil, dataerror.New(source, puzzles[i].Line, "the puzzle has no rating: add one, or leave out minRating")
		}
	}
	return slices.DeleteFunc(puzzles, func(p Puzzle) bool { return p.Rating < least }), nil
}

// Split divides puzzles into training and test puzzles: testSize of them for the test, or fewer if whole families of
// related puzzles don't add up to it. No test puzzle has the solution of a training puzzle, nor one that a symmetry turns
// into it. Both come in random order. All puzzles must have their answers.
func Split(puzzles []Puzzle, testSize int, seed int64) (train, test []Puzzle) {
	families := make(map[uint64]int, len(puzzles)) // how many puzzles share a Kin
	kin := make([]uint64, len(puzzles))
	for i := range puzzles {
		kin[i] = puzzles[i].Answer.Kin()
		families[kin[i]]++
	}
	order := stream(seed, forSplit, 0).Perm(len(puzzles))
	inTest := make(map[uint64]bool, len(families))
	room := testSize
	for _, i := range order {
		k := kin[i]
		if _, decided := inTest[k]; !decided {
			inTest[k] = families[k] <= room
			if inTest[k] {
				room -= families[k]
			}
		}
		if inTest[k] {
			test = append(test, puzzles[i])
		} else {
			train = append(train, puzzles[i])
		}
	}
	return train, test
}

// DropKin removes from train every puzzle whose solution a symmetry turns into that of a test puzzle: what Split sees
// to, for sources that come already split.
func DropKin(train, test []Puzzle) []Puzzle {
	kin := make(map[uint64]struct{}, len(test))
	for i := range test {
		kin[test[i].Answer.Kin()] = struct{}{}
	}
	return slices.DeleteFunc(train, func(p Puzzle) bool {
		_, related := kin[p.Answer.Kin()]
		return related
	})
}

// Subsample draws n puzzles at random, or returns all if there are no more than that.
func Subsample(puzzles []Puzzle, n int, seed int64) []Puzzle {
	if n >= len(puzzles) {
		return puzzles
	}
	drawn := make([]Puzzle, n)
	for i, j := range stream(seed, forSubsample, 0).Perm(len(puzzles))[:n] {
		drawn[i] = puzzles[j]
	}
	return drawn
}

// Reveal writes random digits of the answer into the question until at most maxBlanks cells are blank.
func Reveal(question, answer *Board, maxBlanks int, rng *rand.Rand) Board {
	out := *question
	var blanks [Cells]uint8
	n := 0
	for i, d := range out {
		if d == 0 {
			blanks[n] = uint8(i)
			n++
		}
	}
	for ; n > maxBlanks; n-- {
		k := rng.IntN(n)
		out[blanks[k]] = answer[blanks[k]]
		blanks[k] = blanks[n-1]
	}
	return out
}

// AnyBlanks leaves puzzles as they are.
const AnyBlanks = math.MaxInt
