package loop

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
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
	h, err := hyperparameters(o.Spec, p.total)
	if err != nil {
		return nil, err
	}
	m, err := model.Build(o.Spec.Model, ShapeOf(&o.Train.Metadata), o.Spec.Training.Precision, h.Batch)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	source, err := newSampled(o.Spec, o.Train)
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, plan: p, best: -1, evaluated: -1, offered: -1}
	if r.network, err = NewNetwork(o.Device, m, true); err != nil {
		return nil, err
	}
	if r.trainer, err = NewTrainer(r.network, source, o.Train.SeqLen, h); err != nil {
		return nil, errors.Join(err, r.network.Close())
	}
	if err := r.prepareEvaluation(); err != nil {
		return nil, errors.Join(err, r.network.Close())
	}
	if err := r.resume(ctx); err != nil {
		return nil, errors.Join(err, r.network.Close())
	}
	return r, nil
}

// newSampled returns the job's training examples, from the beginning.
func newSampled(spec *v1alpha1.HRMTrainingJobSpec, d *dataset.Dataset) (Source, error) {
	sampler, err := dataset.NewSampler(d, dataset.Sampling{
		Seed: spec.Training.Seed, BatchSize: int(spec.Training.GlobalBatchSize), EpochsPerPass: epochsPerPass(spec),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	return &sampled{data: d, sampler: sampler}, nil
}

// prepareEvaluation allocates the evaluator, if there is something to evaluate on.
func (r *run) prepareEvaluation() (err error) {
	if r.Test == nil || r.Test.Examples() == 0 {
		r.Test = nil
		return nil
	}
	if n := r.Spec.Evaluation.MaxExamples; n != nil {
		r.testLimit = int(*n)
	}
	batch := min(r.plan.batch, evaluationBatch, r.Test.Examples())
	r.evaluator, err = NewEvaluator(r.network, batch, r.Test.SeqLen, int(r.Spec.Model.ACT.MaxSteps))
	return err
}

// resume goes on from the store's last checkpoint; without one the weights are drawn and training begins.
func (r *run) resume(ctx context.Context) error {
	state, from, err := r.Checkpoints.Latest(ctx, r.Tracker.Note)
	if err != nil {
		return err
	}
	if state == nil {
		r.journal = progress.ResumeJournal(nil, 0)
		return r.network.Initialize(r.Spec.Training.Seed)
	}
	if err := r.trainer.restore(*state); err != nil {
		return fmt.Errorf("%w: go on from %s: %w: train into another place, or remove that one", ErrConfiguration, from.URI, err)
	}
	if err := r.restoreScalars(state.Scalars); err != nil {
		return fmt.Errorf("go on from %s: %w", from.URI, err)
	}
	r.offered = state.Step
	r.Tracker.Saved(from, false)
	r.Tracker.Note(fmt.Sprintf("going on from step %d of %s", state.Step, from.URI))
	old, err := readAll(ctx, r.Store, progress.JournalKey)
	if err != nil {
		return err
	}
	r.journal = progress.ResumeJournal(old, state.Step)
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
