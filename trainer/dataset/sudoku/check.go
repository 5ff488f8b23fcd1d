package sudoku

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// Check proves that every puzzle has exactly one solution and fills in the missing answers. The error names the first
// line, in file order, whose puzzle has none or several. progress is called now and then with the number of puzzles done.
func Check(ctx context.Context, source string, puzzles []Puzzle, progress func(done int)) error {
	var done atomic.Int64
	return eachChunk(ctx, len(puzzles), func(from, to int) error {
		for i := from; i < to; i++ {
			if err := puzzles[i].check(source); err != nil {
				return err
			}
		}
		progress(int(done.Add(int64(to - from))))
		return nil
	})
}

func (p *Puzzle) check(source string) error {
	if clues := Cells - p.Question.Blanks(); clues < MinClues {
		return dataerror.New(source, p.Line, "the puzzle has several solutions: %d clues, fewer than %d, cannot determine one",
			clues, MinClues)
	}
	if err := p.Question.Conflict(); err != nil {
		return dataerror.New(source, p.Line, "the puzzle has no solution: %v", err)
	}
	solution, verdict := Solve(p.Question)
	switch verdict {
	case Unique:
		p.Answer = solution
		return nil
	case SeveralSolutions:
		return dataerror.New(source, p.Line, "the puzzle has several solutions: remove it, a model cannot learn which is meant")
	case NoSolution:
		return dataerror.New(source, p.Line, "the puzzle has no solution: remove it")
	default:
		return dataerror.New(source, p.Line, "the puzzle was not decided after %d guesses: remove it", maxGuesses)
	}
}

// eachChunk calls f for pieces of 0..n-1 on all cores. Of several errors the one of the lowest piece is returned, so
// that an error does not depend on which core was faster.
func eachChunk(ctx context.Context, n int, f func(from, to int) error) error {
	const chunk = 256
	chunks := (n + chunk - 1) / chunk
	failures := make([]error, chunks)
	var failed atomic.Bool
	var next atomic.Int64
	var workers errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			// Pieces are handed out in order: when one fails, all lower ones have been begun and will be finished.
			for !failed.Load() && ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= chunks {
					break
				}
				if failures[k] = f(k*chunk, min(n, (k+1)*chunk)); failures[k] != nil {
					failed.Store(true)
				}
			}
			return ctx.Err()
		})
	}
	if err := workers.Wait(); err != nil {
		return err
	}
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}
