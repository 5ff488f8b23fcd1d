package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
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

// halves are the two parts of a job's dataset.
type halves struct {
	train, test *dataset.Dataset
	copy        *dataset.Copy
}

// newScorer returns what makes the task's scorer of the held-out half. It may be called from several goroutines.
func (h halves) newScorer(task v1alpha1.Task) func() (dataset.Scorer, error) {
	var one sync.Mutex
	var first dataset.Scorer
	return func() (s dataset.Scorer, err error) {
		one.Lock()
		defer one.Unlock()
		if first != nil {
			return first.Fresh(), nil
		}
		first, err = dataset.NewScorer(task, h.test, h.copy.Dir)
		return first, err
	}
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
	show := seldom(10*time.Second, time.Now, tracker.Note)
	get := func(hash string) (*dataset.Copy, error) {
		if hash != "" {
			if c, err := dataset.Retrieve(ctx, store, "", hash, local); !errors.Is(err, dataset.ErrIncomplete) {
				return c, err
			}
		}
		return dataset.Cached(ctx, store, "", job.Spec.Dataset, sourcesOf(ctx, s3), local, show)
	}
	c, err := sharedDataset(ctx, group, func(hash string) (*dataset.Copy, error) {
		return loop.Patiently(ctx, tracker.Note, nil, func() (*dataset.Copy, error) { return get(hash) })
	})
	if err != nil {
		return halves{}, fmt.Errorf("dataset of %s: %w", originOf(job.Spec.Dataset), explainFolder(err, f.scratch))
	}
	tracker.Note(fmt.Sprintf("dataset %s: %s", origin(c), c.URI))
	tracker.Dataset(c.URI)
	return loadHalves(c)
}

// originOf says where a dataset's examples come from.
func originOf(spec v1alpha1.DatasetSpec) string {
	if spec.Maze != nil {
		return "generated mazes"
	}
	return spec.Source.URI
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
