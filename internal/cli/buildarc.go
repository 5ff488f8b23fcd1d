package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// arcFlags say where tasks come from, and what becomes of them.
type arcFlags struct {
	spec              v1alpha1.DatasetSpec
	out, testFraction string
	subsample         int32
	store             storeFlags
}

func (a *app) buildARCCommand() *cobra.Command {
	var f arcFlags
	c := &cobra.Command{
		Use:   "arc --source URI [--add URI …] --out DIR",
		Short: "Build a dataset of ARC tasks",
		Long: `arc builds a dataset in the official layout from ARC tasks: a folder with a file for each task, as in the repositories of
ARC-AGI and ConceptARC, or with Kaggle's combined files (…_challenges.json and …_solutions.json), plain or gzip, on a disk or
in a bucket. A set is named after the folder of its tasks, or after the part of a combined file's name before _challenges.

The sets evaluation and test (possibly with a number) are held out: their demonstrations are trained on, their test pairs are
not. Of all other sets both are trained on. Some of the sets in a folder are chosen with # after it.`,
		Example: `  hrm data build arc --source ./ARC-AGI/data --add ./ConceptARC/corpus --augmentations 1000 --out ./arc-1
  hrm data build arc --source './kaggle#training2,evaluation2' --augmentations 1000 --out ./arc-2
  hrm data build arc --source 's3://puzzles/arc#training,evaluation' --endpoint https://s3.example.org --out ./arc-1`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("subsample") {
				f.spec.Subsample = &f.subsample
			}
			f.spec.Task, f.spec.TestFraction = v1alpha1.TaskARC, v1alpha1.Decimal(f.testFraction)
			return a.buildARC(c.Context(), f.spec, &f.store, f.out)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.spec.Source.URI, "source", "", "tasks: a folder or a file, on a disk or s3://bucket/key, with #set,set to choose")
	flags.StringArrayVar(&f.spec.Source.AdditionalURIs, "add", nil, "another collection of tasks; may be repeated")
	flags.StringVar(&f.out, "out", "", "directory for the dataset")
	flags.Int32Var(&f.spec.Augmentations, "augmentations", 0, "variants made of each task, besides itself")
	flags.Int32Var(&f.subsample, "subsample", 0, "number of tasks, drawn at random; all if not set")
	flags.StringVar(&f.testFraction, "test-fraction", "0.1", "share of the tasks that is held out, where no set is for evaluation")
	flags.Int64Var(&f.spec.Seed, "seed", 0, "seed of the augmentations, the subsample and the split")
	f.store.addBucket(c)
	return c
}

func (a *app) buildARC(ctx context.Context, spec v1alpha1.DatasetSpec, store *storeFlags, out string) error {
	s, err := a.buildDataset(ctx, spec, store, out)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%-12s %8s %10s %12s %12s\n", "set", "tasks", "puzzles", "to train on", "held out")
	total := dataset.SetSummary{Name: "all"}
	for _, set := range s.Sets {
		printSet(a, set)
		total.Tasks += set.Tasks
		total.Puzzles += set.Puzzles
	}
	total.TrainExamples, total.TestExamples = s.TrainExamples, s.TestExamples
	printSet(a, total)
	_, err = fmt.Fprintf(a.out, "%s: %d tasks read, %d of them twice; %d identifiers\n", out, s.Read, s.Duplicates, s.Identifiers)
	return err
}

func printSet(a *app, s dataset.SetSummary) {
	fmt.Fprintf(a.out, "%-12s %8d %10d %12d %12d\n", s.Name, s.Tasks, s.Puzzles, s.TrainExamples, s.TestExamples)
}
