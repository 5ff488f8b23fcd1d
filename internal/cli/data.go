package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

func (a *app) dataCommand() *cobra.Command {
	return group("data", "Build and inspect datasets", group("build", "Build a dataset", a.buildSudokuCommand()), a.inspectCommand(), a.sampleCommand())
}

func (a *app) buildSudokuCommand() *cobra.Command {
	var spec v1alpha1.DatasetSpec
	var out, testFraction string
	var subsample, maxBlanks, minRating int32
	var store storeFlags
	c := &cobra.Command{
		Use:   "sudoku --source URI --out DIR",
		Short: "Build a Sudoku dataset",
		Long: `sudoku builds a dataset in the official layout from puzzles: a CSV with the columns source,question,answer,rating, or
bare lines of 81 characters, plain or gzip, in a file, at a URL or in a bucket. Missing answers are solved for; a puzzle
that has no solution, or several, ends the build with its line number and exit code 65.`,
		Example: `  hrm data build sudoku --source puzzles.csv.gz --out ./sudoku --subsample 1000 --augmentations 1000
  hrm data build sudoku --source s3://puzzles/easy.txt --endpoint https://s3.example.org --out ./sudoku --max-blanks 20`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if spec.Source.URI == "" || out == "" {
				return usageError{errors.New("--source and --out are both needed")}
			}
			spec.Task, spec.TestFraction = v1alpha1.TaskSudoku, v1alpha1.Decimal(testFraction)
			for flag, field := range map[string]struct {
				value int32
				into  **int32
			}{"subsample": {subsample, &spec.Subsample}, "max-blanks": {maxBlanks, &spec.MaxBlanks}, "min-rating": {minRating, &spec.MinRating}} {
				if c.Flags().Changed(flag) {
					*field.into = &field.value
				}
			}
			s3, err := store.config()
			if err != nil {
				return err
			}
			return a.buildSudoku(c.Context(), spec, s3, out)
		},
	}
	flags := c.Flags()
	flags.StringVar(&spec.Source.URI, "source", "", "puzzles: a file, https://… or s3://bucket/key")
	flags.StringVar(&out, "out", "", "directory for the dataset")
	flags.StringVar(&testFraction, "test-fraction", "0.1", "share of the originals that is held out")
	flags.Int32Var(&subsample, "subsample", 0, "number of originals to train on; all if not set")
	flags.Int32Var(&spec.Augmentations, "augmentations", 0, "variants made of each original, besides itself")
	flags.Int32Var(&maxBlanks, "max-blanks", 0, "fill in blanks until at most so many remain")
	flags.Int32Var(&minRating, "min-rating", 0, "leave out puzzles that are rated easier")
	flags.Int64Var(&spec.Seed, "seed", 0, "seed of the split, the subsample and the augmentations")
	store.addBucket(c)
	return c
}

func (a *app) buildSudoku(ctx context.Context, spec v1alpha1.DatasetSpec, s3 objectstore.S3Config, out string) error {
	s, err := dataset.Build(ctx, spec, sourcesOf(ctx, s3), out, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s: %d puzzles read, %d of them twice; %d originals and %d examples to train on, %d held out\n",
		out, s.Read, s.Duplicates, s.TrainGroups, s.TrainExamples, s.TestExamples)
	return err
}

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "inspect DIR",
		Short:   "Check a dataset and say what is in it",
		Example: "  hrm data inspect ./sudoku",
		Args:    exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			report, err := dataset.Inspect(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, report)
			return err
		},
	}
}

// sourcesOf opens files, URLs, and buckets that are reached as s3 says.
func sourcesOf(ctx context.Context, s3 objectstore.S3Config) dataset.Sources {
	return dataset.Sources{Bucket: func(name string) (objectstore.Store, error) {
		s3.Bucket, s3.Prefix = name, ""
		return objectstore.OpenS3(ctx, s3)
	}}
}

// halves are the two parts of a job's dataset.
type halves struct {
	train, test *dataset.Dataset
	copy        *dataset.Copy
}

// close gives the files back, and then lets others remove them.
func (h halves) close() error {
	var errs []error
	for _, d := range []*dataset.Dataset{h.train, h.test} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	h.copy.Close()
	return errors.Join(errs...)
}

// prepareDataset fetches the job's dataset from the store, or builds it and leaves it there for the next job. Its processes
// do so one after the other.
func prepareDataset(ctx context.Context, job *v1alpha1.HRMTrainingJob, f trainFlags, store objectstore.Store, group collective.Group, tracker *progress.Tracker) (halves, error) {
	s3, err := jobS3(job)
	if err != nil {
		return halves{}, err
	}
	local, err := f.cache.local(f.scratch, tracker.Note)
	if err != nil {
		return halves{}, err
	}
	get := func(hash string) (*dataset.Copy, error) {
		if hash != "" {
			if c, err := dataset.Retrieve(ctx, store, "", hash, local); !errors.Is(err, dataset.ErrIncomplete) {
				return c, err
			}
		}
		return dataset.Cached(ctx, store, "", job.Spec.Dataset, sourcesOf(ctx, s3), local, nil)
	}
	c, err := sharedDataset(ctx, group, func(hash string) (*dataset.Copy, error) {
		return loop.Patiently(ctx, tracker.Note, nil, func() (*dataset.Copy, error) { return get(hash) })
	})
	if err != nil {
		return halves{}, fmt.Errorf("dataset of %s: %w", job.Spec.Dataset.Source.URI, explainFolder(err, f.scratch))
	}
	tracker.Note(fmt.Sprintf("dataset %s: %s", origin(c), c.URI))
	tracker.Dataset(c.URI)
	return loadHalves(c)
}

// origin says where a dataset came from.
func origin(c *dataset.Copy) string {
	switch {
	case c.Local:
		return "found in " + c.Dir
	case c.Hit:
		return "found"
	}
	return "built"
}

func loadHalves(c *dataset.Copy) (h halves, err error) {
	h.copy = c
	if h.train, err = dataset.Load(c.Dir, dataset.Train); err == nil {
		h.test, err = dataset.Load(c.Dir, dataset.Test)
	}
	if err != nil {
		return halves{}, errors.Join(err, h.close())
	}
	return h, nil
}
