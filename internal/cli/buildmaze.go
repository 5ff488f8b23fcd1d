package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/maze"
)

// mazeFlags say where mazes come from, and what becomes of them.
type mazeFlags struct {
	source, out, testFraction string
	generate, size, minPath   int32
	subsample                 int32
	augment                   bool
	seed                      int64
	store                     storeFlags
}

func (a *app) buildMazeCommand() *cobra.Command {
	var f mazeFlags
	c := &cobra.Command{
		Use:   "maze (--source URI | --generate N) --out DIR",
		Short: "Build a dataset of mazes",
		Long: `maze builds a dataset in the official layout from mazes that it reads or generates.

--source is a CSV with the columns source,question,answer,rating, plain or gzip, or a folder with a train.csv and a
test.csv. A maze is its cells, row after row: # for a wall, a space, S for the start, G for the goal, and in the answer o
for the path. Every answer is checked; one that is no shortest path ends the build with its line and exit code 65.

--generate makes mazes as Maze-Hard's were made: 30 % to 50 % of the cells are walls at random, and a start and a goal
are kept if the shortest path between them has more than --min-path cells.`,
		Example: `  hrm data build maze --source ./maze-30x30-hard-1k --out ./maze
  hrm data build maze --generate 2000 --test-fraction 0.5 --out ./maze
  hrm data build maze --generate 5000 --size 10 --min-path 15 --augment --out ./small`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			spec, err := f.spec()
			if err != nil {
				return err
			}
			if c.Flags().Changed("subsample") {
				spec.Subsample = &f.subsample
			}
			return a.buildMaze(c.Context(), spec, &f.store, f.out)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.source, "source", "", "mazes: a file, a folder, https://… or s3://bucket/key")
	flags.Int32Var(&f.generate, "generate", 0, "number of mazes to generate, held-out ones included")
	flags.Int32Var(&f.size, "size", 30, "side of the mazes to generate")
	flags.Int32Var(&f.minPath, "min-path", 110, "what the cells of the shortest path must exceed")
	flags.StringVar(&f.out, "out", "", "directory for the dataset")
	flags.StringVar(&f.testFraction, "test-fraction", "0.1", "share of the mazes that is held out, unless the source comes with a split")
	flags.Int32Var(&f.subsample, "subsample", 0, "number of mazes to train on; all if not set")
	flags.BoolVar(&f.augment, "augment", false, "train on all 8 images of every maze, turned and mirrored")
	flags.Int64Var(&f.seed, "seed", 0, "seed of the mazes, the split and the subsample")
	f.store.addBucket(c)
	return c
}

func (f *mazeFlags) spec() (v1alpha1.DatasetSpec, error) {
	spec := v1alpha1.DatasetSpec{Task: v1alpha1.TaskMaze, TestFraction: v1alpha1.Decimal(f.testFraction), Seed: f.seed}
	spec.Source.URI = f.source
	if f.augment {
		spec.Augmentations = maze.Symmetries - 1
	}
	switch {
	case (f.source == "") == (f.generate == 0):
		return spec, usageError{errors.New("either --source or --generate is needed: read mazes, or say how many to generate")}
	case f.source != "":
		return spec, nil
	}
	spec.Maze = &v1alpha1.MazeSpec{Size: f.size, MinPathLength: f.minPath, Count: f.generate}
	return spec, nil
}

func (a *app) buildMaze(ctx context.Context, spec v1alpha1.DatasetSpec, store *storeFlags, out string) error {
	s, err := a.buildDataset(ctx, spec, store, out)
	if err != nil {
		return err
	}
	origin := fmt.Sprintf("%d mazes read, %d of them twice, %d left out that are images of a test maze", s.Read, s.Duplicates, s.Related)
	if spec.Maze != nil {
		origin = fmt.Sprintf("%d mazes found in %d random grids", s.Read, s.Grids)
	}
	_, err = fmt.Fprintf(a.out, "%s: %s; %d mazes and %d examples to train on, %d held out\n", out, origin, s.TrainGroups, s.TrainExamples, s.TestExamples)
	return err
}
