package dataset

import (
	"context"
	"fmt"
	"os"
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
	if err := b.write(ctx, b.outDir); err != nil {
		return fmt.Errorf("write dataset to %s: %w", b.outDir, err)
	}
	return nil
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
		b.train = sudoku.DropKin(b.train, b.test)
		b.summary.Related = before - len(b.train)
	} else {
		held, err := testSize(b.spec.TestFraction, len(b.train))
		if err != nil {
			return err
		}
		b.train, b.test = sudoku.Split(b.train, held, b.spec.Seed)
	}
	if len(b.train) == 0 {
		return dataerror.New(train.name, 0, "no puzzle is left to train on: add puzzles, or lower testFraction or minRating")
	}
	if n := b.spec.Subsample; n != nil {
		if int(*n) > len(b.train) {
			return dataerror.New(train.name, 0, "%d puzzles to train on, but subsample asks for %d: lower it", len(b.train), *n)
		}
		b.train = sudoku.Subsample(b.train, int(*n), b.spec.Seed)
	}
	return nil
}

// read returns the different, proper puzzles of a file, with their answers.
func (b *sudokuBuild) read(ctx context.Context, from *sourceFile) ([]sudoku.Puzzle, error) {
	f, err := os.Open(from.path)
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
	if least := b.spec.MinRating; least != nil {
		if puzzles, err = sudoku.Rated(from.name, puzzles, int(*least)); err != nil {
			return nil, err
		}
	}
	total := len(puzzles)
	return puzzles, sudoku.Check(ctx, from.name, puzzles, func(done int) { b.progress("check puzzles", done, total) })
}

func (b *sudokuBuild) write(ctx context.Context, outDir string) error {
	variants := 1 + int(b.spec.Augmentations)
	if err := b.writeSplit(ctx, outDir, Train, b.train, variants); err != nil {
		return err
	}
	if err := b.writeSplit(ctx, outDir, Test, b.test, 1); err != nil {
		return err
	}
	b.summary.TrainGroups, b.summary.TrainExamples, b.summary.TestExamples = len(b.train), variants*len(b.train), len(b.test)
	return writeJSON(filepath.Join(outDir, "identifiers.json"), []string{"<blank>"})
}

func (b *sudokuBuild) writeSplit(ctx context.Context, outDir, split string, originals []sudoku.Puzzle, variants int) error {
	examples := len(originals) * variants
	if examples > maxExamples {
		return fmt.Errorf("%d examples, more than %d: lower augmentations or subsample", examples, maxExamples)
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
	}
	report := func(done int) { b.progress("augment "+split+" puzzles", done, len(originals)) }
	if err := e.Expand(ctx, originals, a.Inputs, a.Labels, report); err != nil {
		return err
	}
	return WriteSplit(outDir, split, a)
}
