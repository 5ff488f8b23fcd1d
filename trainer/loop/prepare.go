package loop

import (
	"context"
	"errors"
	"fmt"
	"io"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// evaluationBatch bounds the memory that an evaluation takes besides training.
const evaluationBatch = 256

// ShapeOf is what a dataset says of a model.
func ShapeOf(m *dataset.Metadata) model.Shape {
	return model.Shape{SeqLen: m.SeqLen, VocabSize: m.VocabSize, NumPuzzleIdentifiers: m.NumPuzzleIdentifiers}
}

// prepare builds the model and puts it where its last checkpoint left off, or at the beginning.
func prepare(ctx context.Context, o Options) (*run, error) {
	p, err := planFor(o.Spec, o.Train.MeanPuzzleExamples*float64(o.Train.TotalGroups))
	if err != nil {
		return nil, err
	}
	h, err := HyperparametersOf(o.Spec, p.total)
	if err != nil {
		return nil, err
	}
	if size := o.Group.Size(); h.Batch < size {
		return nil, fmt.Errorf("%w: a batch of %d cannot be split among %d ranks: raise spec.training.globalBatchSize or lower spec.nodes", ErrConfiguration, h.Batch, size)
	}
	precision, err := groupPrecision(o.Group, o.Device, o.Spec.Training.Precision)
	if err != nil {
		return nil, err
	}
	switch wanted := o.Spec.Training.Precision; {
	case Precision(o.Device, wanted) != wanted:
		o.Tracker.Note(PrecisionNote(o.Device))
	case precision != wanted:
		o.Tracker.Note("another rank has no bfloat16: computing in Float32 with it")
	}
	m, err := model.Build(o.Spec.Model, ShapeOf(&o.Train.Metadata), precision, h.Batch)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	source, err := newSampled(o.Spec, o.Train)
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, plan: p, standing: standing{best: -1}, evaluated: -1, offered: -1, attempt: progress.ResumeJournal(nil, 0)}
	r.watch = newStopwatch(o.Now, o.Tracker.Spent)
	if r.network, err = NewNetwork(o.Device, m, true); err != nil {
		return nil, err
	}
	if r.trainer, err = newTrainer(r.network, source, o.Train.SeqLen, h, o.Group, r.watch); err != nil {
		return nil, errors.Join(err, r.network.Close())
	}
	r.trainer.windowEnds = r.windowEnds
	if err := r.prepareEvaluation(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if err := r.resume(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.watch.lap(partCheckpoint)
	return r, nil
}

// close frees what the run has on the device besides arrays.
func (r *run) close() error { return errors.Join(r.trainer.Close(), r.network.Close()) }

// newSampled returns the job's training examples, from the beginning.
func newSampled(spec *v1alpha1.HRMTrainingJobSpec, d *dataset.Dataset) (Source, error) {
	sampler, err := dataset.NewSampler(d, dataset.Sampling{
		Seed: spec.Training.Seed, BatchSize: int(spec.Training.GlobalBatchSize), EpochsPerPass: epochsPerPass(spec),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	return &sampled{data: d, sampler: sampler, batch: newBatch(int(spec.Training.GlobalBatchSize), d.SeqLen)}, nil
}

// resume goes on from the store's last checkpoint; without one the weights are drawn and training begins. Rank 0 reads
// the store, and draws; the others get from it what it has.
func (r *run) resume(ctx context.Context) error {
	state, from, err := r.firstState(ctx)
	if err != nil {
		return err
	}
	if *state, err = shareState(ctx, r.Group, *state); err != nil {
		return fmt.Errorf("take over the state of rank 0: %w", err)
	}
	if err := r.restore(ctx, state, from); err != nil {
		return err
	}
	return r.trainer.replicas(ctx)
}

// firstState is what rank 0 begins with: the last checkpoint, or drawn weights and nothing else.
func (r *run) firstState(ctx context.Context) (*State, apiprogress.Checkpoint, error) {
	if r.Group.Rank() != 0 {
		return &State{}, apiprogress.Checkpoint{}, nil
	}
	var from apiprogress.Checkpoint
	state, err := Patiently(ctx, r.Tracker.Note, r.Backoff, func() (state *State, err error) {
		state, from, err = r.Checkpoints.Latest(ctx, r.Tracker.Note)
		return state, err
	})
	if err != nil || state != nil {
		return state, from, err
	}
	state = &State{Model: map[string]checkpoint.Tensor{}}
	if err := r.network.Initialize(r.Spec.Training.Seed); err != nil {
		return nil, from, err
	}
	if err := r.takeWeights(); err != nil {
		return nil, from, err
	}
	return state, from, r.trainer.exportWeights(state)
}

// restore puts a shared state into this rank's trainer.
func (r *run) restore(ctx context.Context, state *State, from apiprogress.Checkpoint) error {
	r.journal = progress.ResumeJournal(nil, 0)
	if len(state.Carry) == 0 {
		return r.network.SetWeights(ModelWeights(*state))
	}
	if err := r.trainer.restore(*state); err != nil {
		return fmt.Errorf("%w: go on from %s: %w: train into another place, or remove that one", ErrConfiguration, from.URI, err)
	}
	if err := r.restoreScalars(state.Scalars); err != nil {
		return fmt.Errorf("go on from %s: %w", from.URI, err)
	}
	r.offered, r.offeredEnd = state.Step, state.Scalars[scalarFinished] == Recipe(r.Spec)
	if r.Group.Rank() != 0 {
		return nil
	}
	r.Tracker.Saved(from, false)
	r.Tracker.Note(fmt.Sprintf("going on from step %d of %s", state.Step, from.URI))
	if before, now := state.Scalars[scalarNodes], fmt.Sprint(r.Group.Size()); before != "" && before != now {
		r.Tracker.Note(fmt.Sprintf("going on with %s ranks from a checkpoint of %s: the rows in work are split anew", now, before))
	}
	for key, journal := range map[string]**progress.Journal{progress.JournalKey: &r.journal, progress.AttemptJournalKey(r.Attempt): &r.attempt} {
		if key == "" {
			continue
		}
		old, err := Patiently(ctx, r.Tracker.Note, r.Backoff, func() ([]byte, error) { return readAll(ctx, r.Store, key) })
		if err != nil {
			return err
		}
		*journal = progress.ResumeJournal(old, state.Step)
	}
	return nil
}

// readAll reads an object, which may be missing.
func readAll(ctx context.Context, store objectstore.Store, key string) ([]byte, error) {
	r, _, err := store.Get(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", store.URI(key), err)
	}
	raw, err := io.ReadAll(r)
	return raw, errors.Join(err, r.Close())
}
