package sudoku

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"
)

// What the model sees: a token per cell, 0 for padding, 1 for a blank, 2 to 10 for the digits.
const (
	TokenBlank = 1
	VocabSize  = 11
)

// Expansion says how originals become examples.
type Expansion struct {
	// Variants is the number of examples of each original; the first is the original itself, the others are
	// transformed by random symmetries. No two of one original are equal.
	Variants int
	// MaxBlanks makes puzzles easier, see Reveal; each variant shows cells of its own. AnyBlanks leaves them as they are.
	MaxBlanks int
	Seed      int64
}

// Expand writes the tokens of all variants, original after original, to inputs and labels, both of
// len(originals) * Variants * Cells bytes. The result depends on the arguments alone, not on the number of cores.
func (e Expansion) Expand(ctx context.Context, originals []Puzzle, inputs, labels []byte, progress func(done int)) error {
	size := e.Variants * Cells
	if want := len(originals) * size; len(inputs) != want || len(labels) != want {
		return fmt.Errorf("expand puzzles: room for %d and %d tokens, need %d", len(inputs), len(labels), want)
	}
	var done atomic.Int64
	return eachChunk(ctx, len(originals), func(from, to int) error {
		for i := from; i < to; i++ {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := e.expandOne(i, &originals[i], inputs[i*size:(i+1)*size], labels[i*size:(i+1)*size]); err != nil {
				return err
			}
			progress(int(done.Add(1)))
		}
		return nil
	})
}

// maxTries is how often a variant is drawn again because it was there already. A proper puzzle has at least 17 clues
// and so many variants that a second draw is rare.
const maxTries = 1000

func (e Expansion) expandOne(index int, p *Puzzle, inputs, labels []byte) error {
	rng := seeded.Stream(e.Seed, forVariants, index)
	seen := make(map[Board]struct{}, e.Variants)
	for v := range e.Variants {
		for try := 0; ; try++ {
			if try == maxTries {
				return fmt.Errorf("puzzle of line %d has fewer than %d different variants: lower augmentations", p.Line, e.Variants)
			}
			s := Identity()
			if v > 0 {
				s = RandomSymmetry(rng)
			}
			shown := Reveal(&p.Question, &p.Answer, e.MaxBlanks, rng)
			question := s.Apply(&shown)
			if _, again := seen[question]; again {
				continue
			}
			seen[question] = struct{}{}
			answer := s.Apply(&p.Answer)
			for c := range Cells {
				inputs[v*Cells+c] = question[c] + TokenBlank
				labels[v*Cells+c] = answer[c] + TokenBlank
			}
			break
		}
	}
	return nil
}

// FromTokens is the board that tokens stand for; padding and anything else that is no digit is a blank.
func FromTokens[T ~uint8 | ~int32 | ~int64](tokens []T) Board {
	var b Board
	for i := range min(len(tokens), Cells) {
		if t := tokens[i]; t > TokenBlank && t < VocabSize {
			b[i] = byte(t) - TokenBlank
		}
	}
	return b
}

// Tokens is the opposite of FromTokens.
func (b Board) Tokens() []int32 {
	tokens := make([]int32, Cells)
	for i, d := range b {
		tokens[i] = int32(d) + TokenBlank
	}
	return tokens
}
