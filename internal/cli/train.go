package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// trainFlags are the choices of 'hrm train' that are not the job's.
type trainFlags struct {
	file    string
	store   string
	set     []string
	listen  string
	scratch string
	device  deviceFlags
}

func (a *app) trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train -f job.yaml",
		Short: "Train a job, or go on with it",
		Long: `train runs the job of a YAML file on this machine: it builds the dataset, unless the store has it already, trains,
evaluates, and saves checkpoints. Started again with the same store it goes on from the last checkpoint, and the
weights come out bit for bit as if it had never stopped. SIGTERM and Ctrl-C finish the step, save, and exit with 75.

Without --store the job's own storage is used, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment.`,
		Example: `  hrm train -f job.yaml --store ./run
  hrm train -f job.yaml --store ./run --set training.steps=500 --set training.learningRate=1e-3
  hrm train -f job.yaml --store s3://hrm/sudoku --listen :8080`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.train(c.Context(), f) },
	}
	c.Flags().StringVarP(&f.file, "file", "f", "", "the job's YAML; - reads standard input")
	c.Flags().StringVar(&f.store, "store", "", "where datasets and checkpoints go, in place of spec.storage: a directory or s3://bucket/prefix")
	c.Flags().StringArrayVar(&f.set, "set", nil, "set a field of the spec, as in training.learningRate=1e-3; may be repeated")
	c.Flags().StringVar(&f.listen, "listen", "", "serve /progress, /metrics and /healthz on this address; empty serves nothing")
	c.Flags().StringVar(&f.scratch, "scratch", os.TempDir(), "directory for files that need not last")
	f.device.add(c)
	return c
}

// train runs a job and leaves the termination message that the operator reads.
func (a *app) train(ctx context.Context, f trainFlags) error {
	tracker := progress.NewTracker(time.Now, a.display())
	err := a.trainWith(ctx, f, tracker)
	tracker.Close()
	final := tracker.Report()
	if err != nil {
		final.Message = err.Error()
	}
	return errors.Join(err, progress.WriteTermination(progress.TerminationLog, final))
}

// display is a bar if standard error is a terminal.
func (a *app) display() progress.Display {
	if file, ok := a.err.(*os.File); ok {
		return progress.ForFile(file, a.log)
	}
	return progress.NewLog(a.log, 10*time.Second, time.Now)
}

func (a *app) trainWith(ctx context.Context, f trainFlags, tracker *progress.Tracker) error {
	job, raw, err := a.loadJob(f.file, f.set)
	if err != nil {
		return err
	}
	if err := alone(os.Getenv("HRM_WORLD_SIZE"), job); err != nil {
		return err
	}
	if f.listen != "" {
		if _, err := progress.Serve(ctx, f.listen, tracker); err != nil {
			return configurationError{err}
		}
	}
	tracker.Phase(apiprogress.PreparingDataset)
	store, err := a.trainStore(ctx, f.store, job, tracker)
	if err != nil {
		return err
	}
	data, err := prepareDataset(ctx, job, f, store, tracker)
	if err != nil {
		return err
	}
	device, err := f.device.open(tracker.Note, false)
	if err != nil {
		return err
	}
	defer func() { _ = device.Close() }()
	return loop.Run(ctx, loop.Options{
		Spec: &job.Spec, Train: data.train, Test: data.test, Device: device, Store: store, Tracker: tracker,
		Checkpoints: checkpoint.NewArchive(store, checkpoint.Options{KeepLast: int(job.Spec.Checkpoint.KeepLast), Job: raw, Version: a.version}),
		Now:         time.Now,
	})
}

// loadJob reads a job, applies what --set says, and checks the whole.
func (a *app) loadJob(file string, set []string) (*v1alpha1.HRMTrainingJob, []byte, error) {
	if file == "" {
		return nil, nil, usageError{errors.New("no job is named: give its YAML with -f")}
	}
	in := a.in
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, nil, usageError{err}
		}
		defer func() { _ = opened.Close() }()
		in = opened
	}
	job, err := v1alpha1.Load(in)
	if err != nil {
		return nil, nil, configurationError{fmt.Errorf("%s: %w", file, err)}
	}
	for _, s := range set {
		if err := applySet(&job.Spec, s); err != nil {
			return nil, nil, err
		}
	}
	job.Default()
	if err := job.Validate(); err != nil {
		return nil, nil, configurationError{fmt.Errorf("%s: %w", file, err)}
	}
	// The job goes into every checkpoint with its defaults and overrides: it says how the checkpoint came to be.
	raw, err := json.Marshal(job)
	return job, raw, err
}

// trainStore opens the job's store, or the one that takes its place.
func (a *app) trainStore(ctx context.Context, override string, job *v1alpha1.HRMTrainingJob, tracker *progress.Tracker) (objectstore.Store, error) {
	if override == "" {
		return jobStore(ctx, job)
	}
	c, err := jobS3(job)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, override, c)
	if err != nil {
		return nil, err
	}
	tracker.Note(fmt.Sprintf("--store: %s takes the place of the job's storage (bucket %s)", store.URI(""), job.Spec.Storage.Bucket))
	return store, nil
}

// alone refuses what this trainer cannot do: it is one process, so it must be the only one.
func alone(worldSize string, job *v1alpha1.HRMTrainingJob) error {
	size := int(job.Spec.Nodes)
	if worldSize != "" {
		n, err := strconv.Atoi(worldSize)
		if err != nil || n < 1 {
			return configurationError{fmt.Errorf("HRM_WORLD_SIZE is %q: want the number of processes", worldSize)}
		}
		size = n
	}
	if size > 1 {
		return configurationError{fmt.Errorf("the job wants %d processes that train together, and this version trains with one: set spec.nodes to 1", size)}
	}
	return nil
}
