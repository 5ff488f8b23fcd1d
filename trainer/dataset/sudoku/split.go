package sudoku

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"
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

// Distinct keeps the first of several puzzles that symmetries turn into each other. All must have their answers.
func Distinct(ctx context.Context, puzzles []Puzzle, progress func(done int)) ([]Puzzle, error) {
	classes, err := forms(ctx, puzzles, (*Puzzle).Canonical, progress)
	if err != nil {
		return nil, err
	}
	seen := make(map[Board]struct{}, len(puzzles))
	distinct := puzzles[:0]
	for i, p := range puzzles {
		if _, again := seen[classes[i]]; !again {
			seen[classes[i]] = struct{}{}
			distinct = append(distinct, p)
		}
	}
	return distinct, nil
}

// Split divides puzzles into training and test puzzles: testSize of them for the test, or fewer if whole families of
// related puzzles don't add up to it. A family are the puzzles whose solutions symmetries turn into each other: the same
// puzzle in disguise, or other clues of the same solution. Both parts come in random order. All puzzles must have their answers.
func Split(ctx context.Context, puzzles []Puzzle, testSize int, seed int64, progress func(done int)) (train, test []Puzzle, err error) {
	family, err := forms(ctx, puzzles, canonicalAnswer, progress)
	if err != nil {
		return nil, nil, err
	}
	members := make(map[Board]int, len(puzzles))
	for _, f := range family {
		members[f]++
	}
	inTest := make(map[Board]bool, len(members))
	room := testSize
	for _, i := range seeded.Stream(seed, forSplit, 0).Perm(len(puzzles)) {
		f := family[i]
		if _, decided := inTest[f]; !decided {
			inTest[f] = members[f] <= room
			if inTest[f] {
				room -= members[f]
			}
		}
		if inTest[f] {
			test = append(test, puzzles[i])
		} else {
			train = append(train, puzzles[i])
		}
	}
	return train, test, nil
}

// DropKin removes from train every puzzle that is of the family of a test puzzle: what Split sees to, for sources that come
// already split.
func DropKin(ctx context.Context, train, test []Puzzle, progress func(done int)) ([]Puzzle, error) {
	held, err := forms(ctx, test, canonicalAnswer, func(int) {})
	if err != nil {
		return nil, err
	}
	families := make(map[Board]struct{}, len(held))
	for _, f := range held {
		families[f] = struct{}{}
	}
	family, err := forms(ctx, train, canonicalAnswer, progress)
	if err != nil {
		return nil, err
	}
	kept := train[:0]
	for i, p := range train {
		if _, related := families[family[i]]; !related {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

func canonicalAnswer(p *Puzzle) Board { return p.Answer.Canonical() }

// Disguise applies to each puzzle a random symmetry of its own.
func Disguise(puzzles []Puzzle, seed int64) {
	for i := range puzzles {
		s := RandomSymmetry(seeded.Stream(seed, forDisguise, i))
		puzzles[i].Question, puzzles[i].Answer = s.Apply(&puzzles[i].Question), s.Apply(&puzzles[i].Answer)
	}
}

// Subsample draws n puzzles at random, or returns all if there are no more than that.
func Subsample(puzzles []Puzzle, n int, seed int64) []Puzzle {
	return seeded.Subsample(puzzles, n, seed, forSubsample)
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
