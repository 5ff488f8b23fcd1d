package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/device"
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
	weights string
	// rendezvousListen is where rank 0 waits for the others, if not at the usual port of all addresses.
	rendezvousListen string
	cache            cacheFlags
	device           deviceFlags
}

func (a *app) trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train -f job.yaml",
		Short: "Train a job, or go on with it",
		Long: `train runs the job of a YAML file on this machine: it builds the dataset, unless the store has it already, trains,
evaluates, and saves checkpoints. Started again with the same store it goes on from the last checkpoint, and the
weights come out bit for bit as if it had never stopped. SIGTERM and Ctrl-C finish the step, save, and exit with 75.

Without --store the job's own storage is used, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment.

All GPUs of the machine train together, unless --device names some; the batch is shared among them.

Several processes train together if each is told HRM_WORLD_SIZE, its HRM_RANK from 0 on, and HRM_RENDEZVOUS, the host
of rank 0; in a cluster the operator does so. All of them stop when one does, and go on together when started again.
Each must have the same number of GPUs.`,
		Example: `  hrm train -f job.yaml --store ./run
  hrm train -f job.yaml --store ./run --set training.steps=500 --set training.learningRate=1e-3
  hrm train -f job.yaml --store s3://hrm/sudoku --listen :8080
  hrm train -f job.yaml --store ./run --weights model.pt
  hrm train -f job.yaml --dataset-cache /var/cache/hrm --dataset-cache-size 200Gi`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.train(c.Context(), f) },
	}
	c.Flags().StringVarP(&f.file, "file", "f", "", "the job's YAML; - reads standard input")
	c.Flags().StringVar(&f.store, "store", "", "where datasets and checkpoints go, in place of spec.storage: a directory or s3://bucket/prefix")
	c.Flags().StringArrayVar(&f.set, "set", nil, "set a field of the spec, as in training.learningRate=1e-3; may be repeated")
	c.Flags().StringVar(&f.listen, "listen", "", "serve /progress, /metrics and /healthz on this address; empty serves nothing")
	f.addMachine(c)
	c.Flags().StringVar(&f.weights, "weights", "", "begin with these weights, at step 0: a checkpoint directory or a PyTorch file; a store with a checkpoint goes on from that")
	c.Flags().StringVar(&f.rendezvousListen, "rendezvous-listen", "", "where rank 0 waits for the other processes of a job of several; empty is the port of HRM_RENDEZVOUS, or :29400")
	return c
}

// addMachine adds the flags that say what of this machine is used.
func (f *trainFlags) addMachine(c *cobra.Command) {
	c.Flags().StringVar(&f.scratch, "scratch", os.TempDir(), "directory for files that need not last")
	f.cache.add(c)
	f.device.addList(c)
}

// train runs a job and leaves the termination message that the operator reads.
func (a *app) train(ctx context.Context, f trainFlags) error {
	a.log = label(a.log, os.Getenv)
	tracker := progress.NewTracker(time.Now, a.display())
	err := a.trainWith(ctx, f, tracker)
	tracker.Close()
	final := tracker.Report()
	if err != nil {
		final.Message, final.Interruption, final.Failure = err.Error(), interruption(ctx, err), deviceFailure(err)
	}
	return errors.Join(err, progress.WriteTermination(progress.TerminationLog, final))
}

// interruption says why a process ended that did nothing wrong: it was asked to, or another one of its group had ended.
func interruption(ctx context.Context, err error) string {
	switch {
	case exitCode(err) != exitInterrupted:
		return ""
	case ctx.Err() != nil:
		return apiprogress.Terminated
	}
	return apiprogress.PeerLost
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
	return a.trainJob(ctx, job, raw, f, tracker)
}

// trainJob runs a job that has its defaults; raw is the job as it goes into checkpoints.
func (a *app) trainJob(ctx context.Context, job *v1alpha1.HRMTrainingJob, raw []byte, f trainFlags, tracker *progress.Tracker) (err error) {
	place, err := placeOf(job, os.Getenv)
	if err != nil {
		return err
	}
	place.Listen = f.rendezvousListen
	tracker.Place(os.Getenv(jobVariable), place.Attempt, place.Size)
	if f.listen != "" {
		if _, err := progress.Serve(ctx, f.listen, tracker); err != nil {
			return configurationError{err}
		}
	}
	tracker.Phase(apiprogress.PreparingDataset)
	store, err := loop.Patiently(ctx, tracker.Note, nil, func() (objectstore.Store, error) { return a.trainStore(ctx, f.store, job, tracker) })
	if err != nil {
		return err
	}
	if done, err := a.finished(ctx, store, job, tracker); done || err != nil {
		return err
	}
	if place.Rank == 0 {
		clearFailure(ctx, store)
		defer func() { recordFailure(ctx, store, err) }()
	}
	choices, err := f.device.list(tracker.Note)
	if err != nil {
		return err
	}
	if place, err = onDevices(place, len(choices), job); err != nil {
		return err
	}
	// Before peers are met and a dataset is built: that there is no GPU is said at once.
	devices, closeDevices, err := openAll(choices, tracker.Note)
	if err != nil {
		return err
	}
	defer func() { _ = closeDevices() }()
	group, err := join(ctx, place, tracker)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, group.Close(loop.Parting(err))) }()
	data, err := prepareDataset(ctx, job, f, store, group, tracker)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	watch(tracker, devices, group)
	return trainOn(ctx, devices, loop.Options{
		Spec: &job.Spec, Train: data.train, Test: data.test, NewScorer: data.newScorer(job.Spec.Dataset.Task), Store: store, Tracker: tracker, Group: group, Attempt: place.Attempt,
		Checkpoints: checkpoint.NewArchive(store, checkpoint.Options{KeepLast: int(job.Spec.Checkpoint.KeepLast), Job: raw, Version: a.version}),
		Now:         time.Now, Weights: weightsOf(ctx, f.weights, job.Spec.Model),
		AtEnd: func(ctx context.Context, n *loop.Network) error {
			// The page tells of the analysis.
			return errors.Join(a.analyzeRun(ctx, store, job, data, n, tracker.Note), a.reportRun(ctx, store, job, data, n, tracker.Note))
		},
	})
}

// finished says that the store holds the end of the job's run. A process that learns so needs no peers: they may have
// ended long ago.
func (a *app) finished(ctx context.Context, store objectstore.Store, job *v1alpha1.HRMTrainingJob, tracker *progress.Tracker) (bool, error) {
	end, err := loop.FindFinished(ctx, store, &job.Spec)
	if end == nil || err != nil {
		return false, err
	}
	note := fmt.Sprintf("nothing is left to train: %s is the end of this job", end.Checkpoint.URI)
	if end.Early != "" {
		note += ", which ended early: " + end.Early
	}
	tracker.Note(note)
	tracker.Finished(end.Checkpoint, end.EvalExactAccuracy, end.Early)
	return true, nil
}

// watch lets /metrics tell what the devices and the group know: of memory, what all devices have allocated.
func watch(tracker *progress.Tracker, devices []device.Device, group collective.Group) {
	type measured interface{ MemoryBytes() int64 }
	var memory func() int64
	if _, ok := devices[0].(measured); ok {
		memory = func() (sum int64) {
			for _, d := range devices {
				sum += d.(measured).MemoryBytes()
			}
			return sum
		}
	}
	var silence func() time.Duration
	if group.Size() > 1 {
		silence = group.Silence
	}
	tracker.Watch(memory, silence)
}

// loadJob reads a job, applies what --set says, and checks the whole.
func (a *app) loadJob(file string, set []string) (*v1alpha1.HRMTrainingJob, []byte, error) {
	if file == "" {
		return nil, nil, usageError{errors.New("no job is named: give its YAML with -f")}
	}
	in, err := a.openInput(file)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = in.Close() }()
	job, err := v1alpha1.Parse(in)
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

// openInput opens a file; - is standard input.
func (a *app) openInput(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(a.in), nil
	}
	opened, err := os.Open(file)
	if err != nil {
		return nil, usageError{err}
	}
	return opened, nil
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
