package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

func (a *app) dataCommand() *cobra.Command {
	return group("data", "Build and inspect datasets",
		group("build", "Build a dataset", a.buildSudokuCommand(), a.buildSudokuHardCommand(), a.buildMazeCommand(), a.buildARCCommand(), a.buildCustomCommand()),
		a.inspectCommand(), a.rateCommand(), a.sampleCommand())
}

// sourcesOf opens files, URLs, and buckets that are reached as s3 says.
func sourcesOf(ctx context.Context, s3 objectstore.S3Config) dataset.Sources {
	return dataset.Sources{Bucket: func(name string) (objectstore.Store, error) {
		s3.Bucket, s3.Prefix = name, ""
		return objectstore.OpenS3(ctx, s3)
	}}
}

// halves are the two parts of a job's dataset, which lies in dir.
type halves struct {
	train, test *dataset.Dataset
	dir         string
}

// newScorer returns what makes the task's scorer of the held-out half.
func (h halves) newScorer(task v1alpha1.Task) func() (dataset.Scorer, error) {
	return func() (dataset.Scorer, error) { return dataset.NewScorer(task, h.test, h.dir) }
}

// prepareDataset fetches the job's dataset from the store, or builds it and leaves it there for the next job.
func prepareDataset(ctx context.Context, job *v1alpha1.HRMTrainingJob, f trainFlags, store objectstore.Store, tracker *progress.Tracker) (halves, error) {
	s3, err := jobS3(job)
	if err != nil {
		return halves{}, err
	}
	show := seldom(10*time.Second, time.Now, tracker.Note)
	dir, uri, hit, err := dataset.Cached(ctx, store, "", job.Spec.Dataset, sourcesOf(ctx, s3), filepath.Join(f.scratch, "hrm"), show)
	if objectstore.DiskFull(err) && !errors.Is(err, objectstore.ErrFull) {
		return halves{}, fmt.Errorf("dataset of %s: no space is left in %s: give the pod more scratch space (ephemeral-storage in spec.template.resources), or name a roomier directory with --scratch: %w",
			originOf(job.Spec.Dataset), f.scratch, err)
	}
	if err != nil {
		return halves{}, fmt.Errorf("dataset of %s: %w", originOf(job.Spec.Dataset), err)
	}
	how := "built"
	if hit {
		how = "found"
	}
	tracker.Note(fmt.Sprintf("dataset %s: %s", how, uri))
	tracker.Dataset(uri)
	return loadHalves(dir)
}

// originOf says where a dataset comes from.
func originOf(spec v1alpha1.DatasetSpec) string {
	if spec.Maze != nil {
		return "generated mazes"
	}
	return spec.Source.URI
}

func loadHalves(dir string) (h halves, err error) {
	h.dir = dir
	if h.train, err = dataset.Load(dir, dataset.Train); err != nil {
		return h, err
	}
	h.test, err = dataset.Load(dir, dataset.Test)
	return h, err
}
