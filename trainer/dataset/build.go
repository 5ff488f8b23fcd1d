package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// recipeVersion changes when the same recipe makes other files than before, so that old ones are not taken for them.
const recipeVersion = 1

// maxExamples of a Sudoku dataset take 16 GB of memory while it is built.
const maxExamples = 100_000_000

// Summary says what a build made.
type Summary struct {
	SourceSHA256  string `json:"sourceSHA256"`
	Read          int    `json:"read"`
	Duplicates    int    `json:"duplicates"`
	Related       int    `json:"related"`
	TrainGroups   int    `json:"trainGroups"`
	TrainExamples int    `json:"trainExamples"`
	TestExamples  int    `json:"testExamples"`
}

// Progress is told how far a stage of the work is. It may be called from several goroutines.
type Progress func(stage string, done, total int)

// Build makes the dataset that spec describes in outDir, in the official layout.
//
// A source that comes as a folder with a train.csv and a test.csv keeps its split, less the training puzzles that are
// related to a test puzzle; any other source is split by testFraction.
func Build(ctx context.Context, spec v1alpha1.DatasetSpec, open Open, outDir string, progress Progress) (Summary, error) {
	scratch, err := os.MkdirTemp("", "hrm-source-")
	if err != nil {
		return Summary{}, err
	}
	defer os.RemoveAll(scratch)
	src, err := fetch(ctx, spec.Source.URI, open, scratch, sudoku.MaxBytes)
	if err != nil {
		return Summary{}, err
	}
	return build(ctx, spec, src, outDir, progress)
}

// RecipeHash identifies what Build makes of a source with this content: the same hash, the same files, byte for byte.
// Where the source lies does not matter.
func RecipeHash(spec v1alpha1.DatasetSpec, sourceHash string) string {
	spec.Source = v1alpha1.DatasetSource{}
	recipe, err := json.Marshal(struct {
		Version int                  `json:"version"`
		Source  string               `json:"source"`
		Spec    v1alpha1.DatasetSpec `json:"spec"`
	}{recipeVersion, sourceHash, spec})
	if err != nil {
		panic(err) // numbers and strings only
	}
	sum := sha256.Sum256(recipe)
	return hex.EncodeToString(sum[:16])
}

func build(ctx context.Context, spec v1alpha1.DatasetSpec, src source, outDir string, progress Progress) (Summary, error) {
	if progress == nil {
		progress = func(string, int, int) {}
	}
	if spec.Task != v1alpha1.TaskSudoku {
		return Summary{}, fmt.Errorf("build dataset: task %s cannot be built from a source: use task %s", spec.Task, v1alpha1.TaskSudoku)
	}
	// A manifest over changed files would be a lie.
	if err := os.Remove(filepath.Join(outDir, manifestName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Summary{}, err
	}
	b := sudokuBuild{spec: spec, progress: progress, summary: Summary{SourceSHA256: src.hash()}}
	if err := b.gather(ctx, src); err != nil {
		return Summary{}, err
	}
	if err := b.write(ctx, outDir); err != nil {
		return Summary{}, fmt.Errorf("write dataset to %s: %w", outDir, err)
	}
	return b.summary, writeManifest(outDir, spec, b.summary)
}

type sudokuBuild struct {
	spec        v1alpha1.DatasetSpec
	progress    Progress
	summary     Summary
	train, test []sudoku.Puzzle
}

// gather reads, checks, splits and subsamples the originals.
func (b *sudokuBuild) gather(ctx context.Context, src source) (err error) {
	if b.train, err = b.read(ctx, src.train); err != nil {
		return err
	}
	if src.test != nil {
		if b.test, err = b.read(ctx, src.test); err != nil {
			return err
		}
		before := len(b.train)
		b.train = sudoku.DropKin(b.train, b.test)
		b.summary.Related = before - len(b.train)
	} else {
		testSize, err := testSize(b.spec.TestFraction, len(b.train))
		if err != nil {
			return err
		}
		b.train, b.test = sudoku.Split(b.train, testSize, b.spec.Seed)
	}
	if len(b.train) == 0 {
		return dataerror.New(src.train.name, 0, "no puzzle is left to train on: add puzzles, or lower testFraction or minRating")
	}
	if n := b.spec.Subsample; n != nil {
		if int(*n) > len(b.train) {
			return dataerror.New(src.train.name, 0, "%d puzzles to train on, but subsample asks for %d: lower it", len(b.train), *n)
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

// testSize turns the fraction into a number of puzzles; a fraction above 0 holds out at least one.
func testSize(fraction v1alpha1.Decimal, n int) (int, error) {
	if fraction == "" {
		fraction = "0.1"
	}
	f, err := strconv.ParseFloat(string(fraction), 64)
	if err != nil || !(f >= 0 && f < 1) {
		return 0, fmt.Errorf("dataset.testFraction is %q: expected a number from 0 to below 1", fraction)
	}
	size := int(math.Round(f * float64(n)))
	if f > 0 {
		size = max(size, 1)
	}
	return size, nil
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

// offsetsOf is 0, step, 2*step, … n*step.
func offsetsOf(n, step int) []int32 {
	v := make([]int32, n+1)
	for i := range v {
		v[i] = int32(i * step)
	}
	return v
}
