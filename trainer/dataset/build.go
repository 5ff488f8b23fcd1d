package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/custom"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/maze"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// recipeVersion changes when the same recipe makes other files than before, so that old ones are not taken for them.
const recipeVersion = 2

// Summary says what a build made.
type Summary struct {
	SourceSHA256  string `json:"sourceSHA256"`
	Read          int    `json:"read"`
	Grids         int    `json:"grids,omitempty"` // that mazes were looked for in
	Duplicates    int    `json:"duplicates"`
	Related       int    `json:"related"`
	TrainGroups   int    `json:"trainGroups"`
	TrainExamples int    `json:"trainExamples"`
	TestExamples  int    `json:"testExamples"`
	// Identifiers and Sets are only counted for tasks whose puzzles have names.
	Identifiers int          `json:"identifiers,omitempty"`
	Sets        []SetSummary `json:"sets,omitempty"`
	// Collections are those of a recipe.
	Collections []Collection `json:"collections,omitempty"`
	// TrainRating and TestRating are mean ratings of the originals; nil where none is known.
	TrainRating *float64 `json:"trainRating,omitempty"`
	TestRating  *float64 `json:"testRating,omitempty"`
}

// Collection counts the originals that a recipe took from one collection.
type Collection struct {
	Name string `json:"name"`
	// Puzzles are those that the collection holds, less duplicates and what is rated out of range.
	Puzzles int `json:"puzzles"`
	Train   int `json:"train"`
	Test    int `json:"test"`
}

// Progress is told how far a stage of the work is. It may be called from several goroutines.
type Progress func(stage string, done, total int)

// task knows how the datasets of one task are made.
type task struct {
	// maxBytes is the most that a file of a source may hold.
	maxBytes int64
	// fetch copies what the source's URI names.
	fetch func(f *fetcher, ctx context.Context, uri string) error
	// build makes the files of the dataset.
	build func(ctx context.Context, b *building) error
}

var tasks = map[v1alpha1.Task]task{
	v1alpha1.TaskSudoku: {sudoku.MaxBytes, (*fetcher).fetchTable, buildSudoku},
	v1alpha1.TaskMaze:   {maze.MaxBytes, (*fetcher).fetchMazes, buildMaze},
	v1alpha1.TaskARC:    {arc.MaxBytes, (*fetcher).fetchARC, buildARC},
	v1alpha1.TaskCustom: {custom.MaxBytes, (*fetcher).fetchCustom, buildCustom},
}

// recipes are the tasks' datasets that come from several collections.
var recipes = map[v1alpha1.DatasetRecipe]task{
	v1alpha1.DatasetRecipeSudokuHard: {sudoku.MaxBytes, (*fetcher).fetchSudokuHard, buildSudokuHard},
}

// building is a build in progress.
type building struct {
	spec     v1alpha1.DatasetSpec
	src      source
	outDir   string
	progress Progress
	summary  Summary
}

// Build makes the dataset that spec describes in outDir, in the official layout. A source that comes with a split keeps it, less
// what is related to a test example in training; any other is split by testFraction.
func Build(ctx context.Context, spec v1alpha1.DatasetSpec, files Files, outDir string, progress Progress) (Summary, error) {
	scratch, err := os.MkdirTemp("", "hrm-source-")
	if err != nil {
		return Summary{}, err
	}
	defer os.RemoveAll(scratch)
	src, err := fetch(ctx, spec, files, scratch)
	if err != nil {
		return Summary{}, err
	}
	return build(ctx, spec, src, outDir, progress)
}

// fetch copies a dataset's source into a directory.
func fetch(ctx context.Context, spec v1alpha1.DatasetSpec, files Files, dir string) (source, error) {
	t, err := taskOf(spec)
	if err != nil {
		return source{}, err
	}
	f := fetcher{files: files, dir: dir, maxBytes: t.maxBytes}
	for _, uri := range append([]string{spec.Source.URI}, spec.Source.AdditionalURIs...) {
		if err := t.fetch(&f, ctx, uri); err != nil {
			return source{}, err
		}
	}
	return f.fetched, nil
}

func taskOf(spec v1alpha1.DatasetSpec) (task, error) {
	if spec.Recipe != "" {
		t, known := recipes[spec.Recipe]
		if !known {
			return task{}, fmt.Errorf("build dataset: unknown recipe %q: use one of %v", spec.Recipe, slices.Sorted(maps.Keys(recipes)))
		}
		return t, nil
	}
	t, known := tasks[spec.Task]
	if !known {
		return task{}, fmt.Errorf("build dataset: unknown task %q: use one of %v", spec.Task, slices.Sorted(maps.Keys(tasks)))
	}
	return t, nil
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
	t, err := taskOf(spec)
	if err != nil {
		return Summary{}, err
	}
	if progress == nil {
		progress = func(string, int, int) {}
	}
	// A manifest over changed files would be a lie.
	if err := os.Remove(filepath.Join(outDir, manifestName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Summary{}, err
	}
	b := building{spec: spec, src: src, outDir: outDir, progress: progress, summary: Summary{SourceSHA256: src.hash()}}
	if err := t.build(ctx, &b); err != nil {
		return Summary{}, err
	}
	return b.summary, writeManifest(outDir, spec, b.summary)
}

// testSize turns testFraction into a number of originals; a fraction above 0 holds out at least one.
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

// offsetsOf is 0, step, 2*step, … n*step.
func offsetsOf(n, step int) []int32 {
	v := make([]int32, n+1)
	for i := range v {
		v[i] = int32(i * step)
	}
	return v
}

// drawn returns how many of the originals that are left are to be drawn: all, or as many as subsample asks for. things are
// what messages call them.
func (b *building) drawn(source, things string, left int) (int, error) {
	n := b.spec.Subsample
	if n == nil {
		return left, nil
	}
	if int(*n) > left {
		return 0, dataerror.New(source, 0, "%d %s, but subsample asks for %d: lower it", left, things, *n)
	}
	return int(*n), nil
}
