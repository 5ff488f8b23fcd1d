package dataset

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/maze"
)

// maxMazeTokens of a Maze dataset take 16 GB of memory while it is built.
const maxMazeTokens = 8_000_000_000

type mazeBuild struct {
	*building
	train, test []maze.Maze
}

// fetchMazes fetches the tables of mazes; mazes that are generated come from nowhere.
func (f *fetcher) fetchMazes(ctx context.Context, uri string) error {
	if uri == "" {
		return nil
	}
	return f.fetchTable(ctx, uri)
}

func buildMaze(ctx context.Context, common *building) error {
	b := mazeBuild{building: common}
	if err := b.gather(ctx, b.src.file(Train), b.src.file(Test)); err != nil {
		return err
	}
	if err := b.write(ctx, b.outDir); err != nil {
		return fmt.Errorf("write dataset to %s: %w", b.outDir, err)
	}
	return nil
}

// gather reads or generates mazes, splits them and takes a subsample.
func (b *mazeBuild) gather(ctx context.Context, train, test *sourceFile) (err error) {
	name := "dataset.maze"
	switch {
	case b.spec.Maze != nil:
		b.train, err = b.generate(ctx)
	case train != nil:
		name = train.name
		b.train, err = b.read(ctx, train)
	default:
		err = dataerror.New(name, 0, "missing, and so is dataset.source: say how to generate mazes, or where to read them")
	}
	if err != nil {
		return err
	}
	if test != nil {
		if b.test, err = b.read(ctx, test); err != nil {
			return err
		}
		if size, first := b.test[0].Question.Size, b.train[0].Question.Size; size != first {
			return dataerror.New(test.name, b.test[0].Line, "the mazes are %[1]dx%[1]d, those of %[3]s %[2]dx%[2]d: all mazes of a dataset have one size", size, first, train.name)
		}
		before := len(b.train)
		b.train = maze.DropKin(b.train, b.test)
		b.summary.Related = before - len(b.train)
	} else {
		held, err := testSize(b.spec.TestFraction, len(b.train))
		if err != nil {
			return err
		}
		b.train, b.test = maze.Split(b.train, held, b.spec.Seed)
	}
	if len(b.train) == 0 {
		return dataerror.New(name, 0, "no maze is left to train on: add mazes, or lower testFraction")
	}
	n, err := b.drawn(name, "mazes to train on", len(b.train))
	if err != nil {
		return err
	}
	b.train = maze.Subsample(b.train, n, b.spec.Seed)
	return nil
}

func (b *mazeBuild) generate(ctx context.Context) ([]maze.Maze, error) {
	m := b.spec.Maze
	recipe := maze.Recipe{Size: int(m.Size), MinPath: int(m.MinPathLength), Count: int(m.Count), Seed: b.spec.Seed}
	generated, err := recipe.Generate(ctx, func(done int) { b.progress("generate mazes", done, recipe.Count) })
	b.summary.Read, b.summary.Grids = len(generated.Mazes), generated.Grids
	return generated.Mazes, err
}

// read returns the different mazes of a file.
func (b *mazeBuild) read(ctx context.Context, from *sourceFile) ([]maze.Maze, error) {
	f, err := b.open(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mazes, err := maze.Parse(ctx, from.name, f)
	if err != nil {
		return nil, err
	}
	read := len(mazes)
	mazes = maze.Deduplicate(mazes)
	b.summary.Read += read
	b.summary.Duplicates += read - len(mazes)
	return mazes, nil
}

func (b *mazeBuild) write(ctx context.Context, outDir string) error {
	variants := 1
	if b.spec.Augmentations > 0 {
		variants = maze.Symmetries
	}
	cells := len(b.train[0].Question.Cells)
	if err := b.writeSplit(ctx, outDir, Train, b.train, cells, variants); err != nil {
		return err
	}
	if err := b.writeSplit(ctx, outDir, Test, b.test, cells, 1); err != nil {
		return err
	}
	b.summary.TrainGroups, b.summary.TrainExamples, b.summary.TestExamples = len(b.train), variants*len(b.train), len(b.test)
	return writeJSON(filepath.Join(outDir, identifiersName), []string{blankIdentifier})
}

func (b *mazeBuild) writeSplit(ctx context.Context, outDir, split string, mazes []maze.Maze, cells, variants int) error {
	examples := len(mazes) * variants
	if examples*cells > maxMazeTokens {
		return dataerror.New("dataset", 0, "%d examples of %d cells: lower augmentations or subsample", examples, cells)
	}
	ignore := int32(0)
	a := Arrays{
		Metadata: Metadata{
			IgnoreLabelID: &ignore, VocabSize: maze.VocabSize, SeqLen: cells, NumPuzzleIdentifiers: 1,
			TotalGroups: len(mazes), MeanPuzzleExamples: 1, TotalPuzzles: examples, Sets: []string{"all"},
		},
		Inputs:      make([]uint8, examples*cells),
		Labels:      make([]uint8, examples*cells),
		Identifiers: make([]int32, examples),
		Puzzles:     offsetsOf(examples, 1),
		Groups:      offsetsOf(len(mazes), variants),
	}
	for i, m := range mazes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for v := range variants {
			at := (i*variants + v) * cells
			m.Question.Apply(v, a.Inputs[at:at+cells])
			m.Answer.Apply(v, a.Labels[at:at+cells])
		}
	}
	return WriteSplit(outDir, split, a)
}
