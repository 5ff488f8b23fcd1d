package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// sudokuFlags say how a Sudoku dataset is built.
type sudokuFlags struct {
	spec              v1alpha1.DatasetSpec
	testFraction, out string
	// The optional ones hold what their flag was set to.
	subsample, maxBlanks, minRating, maxRating int32
	store                                      storeFlags
}

func (a *app) buildSudokuCommand() *cobra.Command {
	var f sudokuFlags
	c := &cobra.Command{
		Use:   "sudoku --source URI --out DIR",
		Short: "Build a Sudoku dataset",
		Long: `sudoku builds a dataset in the official layout from puzzles: a CSV with the columns source,question,answer,rating, or
bare lines of 81 characters, plain or gzip, in a file, at a URL or in a bucket; or a folder with a train.csv and a test.csv,
which keeps its split. Missing answers are solved for; a puzzle that has no solution, or several, ends the build with its
line number and exit code 65. No training puzzle is a test puzzle in disguise.`,
		Example: `  hrm data build sudoku --source puzzles.csv.gz --out ./sudoku --subsample 1000 --augmentations 1000
  hrm data build sudoku --source puzzles.csv.gz --out ./hard --min-rating 10
  hrm data build sudoku --source s3://puzzles/easy.txt --endpoint https://s3.example.org --out ./sudoku --max-blanks 20`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.buildSudoku(c, &f) },
	}
	f.add(c, "puzzles: a file, a folder, https://… or s3://bucket/key")
	return c
}

func (a *app) buildSudokuHardCommand() *cobra.Command {
	f := sudokuFlags{spec: v1alpha1.DatasetSpec{Recipe: v1alpha1.DatasetRecipeSudokuHard}}
	c := &cobra.Command{
		Use:   "sudoku-hard --source DIR --out DIR",
		Short: "Build the stand-in for Sudoku-Extreme",
		Long: `sudoku-hard builds a dataset as hard as Sudoku-Extreme from two public collections, which it looks for in the folder
--source as NAME.csv or NAME.csv.gz with the columns puzzle,rating: 64 % forum_hardest_1905_11plus and 36 % 17_clue, so that
the mean rating is about 22. No puzzle is there twice, not even in disguise, and none of the test is the disguise of one to
train on; each appears under a random symmetry. The shares hold for the test and for --subsample alike.`,
		Example: "  hrm data build sudoku-hard --source ./collections --out ./sudoku-hard --subsample 1000 --augmentations 1000",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.buildSudoku(c, &f) },
	}
	f.add(c, "folder of the collections: a path, https://… or s3://bucket/folder")
	return c
}

func (f *sudokuFlags) add(c *cobra.Command, source string) {
	f.spec.Task = v1alpha1.TaskSudoku
	flags := c.Flags()
	flags.StringVar(&f.spec.Source.URI, "source", "", source)
	flags.StringVar(&f.out, "out", "", "directory for the dataset")
	flags.StringVar(&f.testFraction, "test-fraction", "0.1", "share of the originals that is held out")
	flags.Int32Var(&f.subsample, "subsample", 0, "number of originals to train on; all if not set")
	flags.Int32Var(&f.spec.Augmentations, "augmentations", 0, "variants made of each original, besides itself")
	flags.Int32Var(&f.maxBlanks, "max-blanks", 0, "fill in blanks until at most so many remain")
	flags.Int32Var(&f.minRating, "min-rating", 0, "leave out puzzles that are rated easier; see hrm data rate --help")
	flags.Int32Var(&f.maxRating, "max-rating", 0, "leave out puzzles that are rated harder")
	flags.Int64Var(&f.spec.Seed, "seed", 0, "seed of the split, the subsample and the augmentations")
	f.store.addBucket(c)
}

// complete puts what the flags say into the spec.
func (f *sudokuFlags) complete(c *cobra.Command) {
	f.spec.TestFraction = v1alpha1.Decimal(f.testFraction)
	for _, optional := range []struct {
		flag  string
		value *int32
		into  **int32
	}{
		{"subsample", &f.subsample, &f.spec.Subsample}, {"max-blanks", &f.maxBlanks, &f.spec.MaxBlanks},
		{"min-rating", &f.minRating, &f.spec.MinRating}, {"max-rating", &f.maxRating, &f.spec.MaxRating},
	} {
		if c.Flags().Changed(optional.flag) {
			*optional.into = optional.value
		}
	}
}

func (a *app) buildSudoku(c *cobra.Command, f *sudokuFlags) error {
	f.complete(c)
	s, err := a.buildDataset(c.Context(), f.spec, &f.store, f.out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.out, describe(f.out, &s))
	return err
}

// describe says what was built, in a line, and in one more for each collection of a recipe.
func describe(out string, s *dataset.Summary) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d puzzles read, %d of them twice; %d originals and %d examples to train on, %d held out",
		out, s.Read, s.Duplicates, s.TrainGroups, s.TrainExamples, s.TestExamples)
	if s.TrainRating != nil {
		fmt.Fprintf(&text, "; mean rating %.1f", *s.TrainRating)
		if s.TestRating != nil {
			fmt.Fprintf(&text, ", held out %.1f", *s.TestRating)
		}
	}
	text.WriteString("\n")
	for _, c := range s.Collections {
		fmt.Fprintf(&text, "  %-26s %6d puzzles, %6d originals to train on, %6d held out\n", c.Name, c.Puzzles, c.Train, c.Test)
	}
	return text.String()
}
