package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

func (a *app) buildCustomCommand() *cobra.Command {
	spec := v1alpha1.DatasetSpec{Task: v1alpha1.TaskCustom}
	var out, testFraction string
	var subsample int32
	var store storeFlags
	c := &cobra.Command{
		Use:   "custom --source URI --out DIR",
		Short: "Build a dataset of a task of your own",
		Long: `custom builds a dataset in the official layout from lines of JSON, plain or gzip, each an example of two grids:

  {"input": [[0,1],[2,3]], "output": [[3,2],[1,0]]}

or of two sequences, "input": [1,2,3]. Grids may differ in size: all are put into the top left corner of the largest
height and width. With an "id", a string or a number, examples share a learned puzzle embedding. --source is a file, or
a folder with a train.jsonl and possibly a test.jsonl, or with the arrays of a dataset in the official layout, which are
checked and copied. A bad line ends the build with its number and exit code 65.`,
		Example: `  hrm data build custom --source pairs.jsonl.gz --out ./pairs
  hrm data build custom --source s3://tasks/pairs --endpoint https://s3.example.org --out ./pairs`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			spec.TestFraction = v1alpha1.Decimal(testFraction)
			if c.Flags().Changed("subsample") {
				spec.Subsample = &subsample
			}
			return a.buildCustom(c.Context(), spec, &store, out)
		},
	}
	flags := c.Flags()
	flags.StringVar(&spec.Source.URI, "source", "", "examples: a file, a folder, https://… or s3://bucket/key")
	flags.StringVar(&out, "out", "", "directory for the dataset")
	flags.StringVar(&testFraction, "test-fraction", "0.1", "share of the examples that is held out, unless the source comes with a split")
	flags.Int32Var(&subsample, "subsample", 0, "number of examples to train on; all if not set")
	flags.Int64Var(&spec.Seed, "seed", 0, "seed of the split and the subsample")
	store.addBucket(c)
	return c
}

func (a *app) buildCustom(ctx context.Context, spec v1alpha1.DatasetSpec, store *storeFlags, out string) error {
	s, err := a.buildDataset(ctx, spec, store, out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s: %d examples read, %d of them twice, %d left out that ask what a test example asks; %d puzzles and %d examples to train on, %d held out\n",
		out, s.Read, s.Duplicates, s.Related, s.TrainGroups, s.TrainExamples, s.TestExamples)
	return err
}
