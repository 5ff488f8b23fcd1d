package dataset

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// maxExamples of a Sudoku dataset take 16 GB of memory while it is built.
const maxExamples = 100_000_000

type sudokuBuild struct {
	*building
	train, test []sudoku.Puzzle
}

func buildSudoku(ctx context.Context, common *building) error {
	b := sudokuBuild{building: common}
	if err := b.gather(ctx, b.src.file(Train), b.src.file(Test)); err != nil {
		return err
	}
	return b.write(ctx)
}

// gather reads, checks, splits and subsamples the originals.
func (b *sudokuBuild) gather(ctx context.Context, train, test *sourceFile) (err error) {
	if b.train, err = b.read(ctx, train); err != nil {
		return err
	}
	if test != nil {
		if b.test, err = b.read(ctx, test); err != nil {
			return err
		}
		before := len(b.train)
		if b.train, err = sudoku.DropKin(ctx, b.train, b.test, b.compared(before)); err != nil {
			return err
		}
		b.summary.Related = before - len(b.train)
	} else if err := b.split(ctx, b.train); err != nil {
		return err
	}
	if len(b.train) == 0 {
		return dataerror.New(train.name, 0, "no puzzle is left to train on: add puzzles, or lower testFraction, or widen minRating and maxRating")
	}
	n, err := b.drawn(train.name, "puzzles to train on", len(b.train))
	if err != nil {
		return err
	}
	b.train = sudoku.Subsample(b.train, n, b.spec.Seed)
	return nil
}

// split holds out testFraction of the puzzles, by family.
func (b *sudokuBuild) split(ctx context.Context, puzzles []sudoku.Puzzle) error {
	held, err := testSize(b.spec.TestFraction, len(puzzles))
	if err != nil {
		return err
	}
	b.train, b.test, err = sudoku.Split(ctx, puzzles, held, b.spec.Seed, b.compared(len(puzzles)))
	return err
}

// compared reports the progress of looking for puzzles in disguise.
func (b *sudokuBuild) compared(total int) func(done int) { return b.stage("compare puzzles", total) }

func (b *sudokuBuild) stage(name string, total int) func(done int) {
	return func(done int) { b.progress(name, done, total) }
}

// read returns the different, proper puzzles of a file in the wanted range of ratings, with their answers.
func (b *sudokuBuild) read(ctx context.Context, from *sourceFile) ([]sudoku.Puzzle, error) {
	f, err := b.open(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	puzzles, err := sudoku.Parse(ctx, from.name, f)
	if err != nil {
		return nil, err
	}
	read := len(puzzles)
	puzzles = sudoku.Deduplicate(puzzles)
	b.summary.Read += read
	b.summary.Duplicates += read - len(puzzles)
	wanted := sudoku.Ratings{Min: b.spec.MinRating, Max: b.spec.MaxRating}
	puzzles = wanted.Keep(puzzles)
	if err := sudoku.Check(ctx, from.name, puzzles, b.stage("check puzzles", len(puzzles))); err != nil {
		return nil, err
	}
	if !wanted.Bounded() {
		return puzzles, nil
	}
	err = sudoku.RateMissing(ctx, puzzles, b.stage("rate puzzles", len(puzzles)))
	return wanted.Keep(puzzles), err
}

func (b *sudokuBuild) write(ctx context.Context) error {
	variants := 1 + int(b.spec.Augmentations)
	mean, err := b.writeSplit(ctx, Train, b.train, variants)
	if err == nil {
		b.summary.TrainRating = mean
		b.summary.TestRating, err = b.writeSplit(ctx, Test, b.test, 1)
	}
	if err == nil {
		err = writeJSON(filepath.Join(b.outDir, identifiersName), []string{blankIdentifier})
	}
	if err != nil {
		return fmt.Errorf("write dataset to %s: %w", b.outDir, err)
	}
	b.summary.TrainGroups, b.summary.TrainExamples, b.summary.TestExamples = len(b.train), variants*len(b.train), len(b.test)
	return nil
}

// writeSplit returns the mean rating of the originals.
func (b *sudokuBuild) writeSplit(ctx context.Context, split string, originals []sudoku.Puzzle, variants int) (*float64, error) {
	examples := len(originals) * variants
	if examples > maxExamples {
		return nil, fmt.Errorf("%d examples, more than %d: lower augmentations or subsample", examples, maxExamples)
	}
	e := sudoku.Expansion{Variants: variants, MaxBlanks: sudoku.AnyBlanks, Seed: b.spec.Seed}
	if split == Test {
		e.Seed = ^e.Seed // else the first test puzzle would be treated just like the first training puzzle
	}
	if n := b.spec.MaxBlanks; n != nil {
		e.MaxBlanks = int(*n)
	}
	ignore := int32(0)
	a := Arrays{
		Metadata: Metadata{
			IgnoreLabelID: &ignore, VocabSize: sudoku.VocabSize, SeqLen: sudoku.Cells, NumPuzzleIdentifiers: 1,
			TotalGroups: len(originals), MeanPuzzleExamples: 1, TotalPuzzles: examples, Sets: []string{"all"},
		},
		Inputs:      make([]uint8, examples*sudoku.Cells),
		Labels:      make([]uint8, examples*sudoku.Cells),
		Identifiers: make([]int32, examples),
		Puzzles:     offsetsOf(examples, 1),
		Groups:      offsetsOf(len(originals), variants),
		Ratings:     exampleRatings(originals, &e),
	}
	if err := e.Expand(ctx, originals, a.Inputs, a.Labels, b.stage("augment "+split+" puzzles", len(originals))); err != nil {
		return nil, err
	}
	return meanRating(a.Ratings), WriteSplit(b.outDir, split, a)
}

// exampleRatings gives every variant the rating of its original. A puzzle that is made easier loses it.
func exampleRatings(originals []sudoku.Puzzle, e *sudoku.Expansion) []int32 {
	ratings := make([]int32, 0, len(originals)*e.Variants)
	for i := range originals {
		rating := int32(UnknownRating)
		if p := &originals[i]; p.Rating != sudoku.NoRating && p.Question.Blanks() <= e.MaxBlanks {
			rating = int32(p.Rating)
		}
		for range e.Variants {
			ratings = append(ratings, rating)
		}
	}
	return ratings
}
