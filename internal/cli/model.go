package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// modelFlags choose a trained model: a pulled checkpoint, or one in a store.
type modelFlags struct {
	checkpoint string
	step       int64
	scratch    string
	store      storeFlags
	device     deviceFlags
}

func (f *modelFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.checkpoint, "checkpoint", "", "directory of a checkpoint that 'hrm checkpoint pull' wrote")
	c.Flags().Int64Var(&f.step, "step", -1, "step of the checkpoint in --store; the best one if not set")
	c.Flags().StringVar(&f.scratch, "scratch", os.TempDir(), "directory for files that need not last")
	f.store.add(c, "where the job trained into")
	f.device.add(c)
}

// trainedModel is a checkpoint's model on a device, with the job that it came from.
type trainedModel struct {
	job *v1alpha1.HRMTrainingJob
	ref string
	// shape is that of what it was trained on. SeqLen is 0 where the checkpoint does not show it.
	shape   model.Shape
	weights map[string]checkpoint.Tensor
	// network is nil until compile has made it.
	network *loop.Network
	device  device.Device
	flags   *modelFlags
	// store is where the job trained into; nil if only a pulled checkpoint is known.
	store objectstore.Store
}

func (m *trainedModel) close() {
	if m.network != nil {
		_ = m.network.Close()
	}
	_ = m.device.Close()
}

// openModel loads the model that the flags choose, and the device that is to compute it.
func (a *app) openModel(ctx context.Context, f *modelFlags) (*trainedModel, error) {
	m := &trainedModel{flags: f}
	state, manifest, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	m.job = &v1alpha1.HRMTrainingJob{}
	if err := json.Unmarshal(manifest.Job, m.job); err != nil {
		return nil, fmt.Errorf("%s does not say which job it is of: %w", m.ref, err)
	}
	m.job.Default()
	m.weights = loop.ModelWeights(*state)
	if m.job.Spec.Model, m.shape, err = inferred(m.weights, state.Carry, m.job.Spec.Model); err != nil {
		return nil, fmt.Errorf("%s: %w", m.ref, err)
	}
	m.device, err = f.device.open(func(note string) { a.log.Info(note) }, false)
	if err != nil {
		return nil, err
	}
	if loop.Precision(m.device, m.job.Spec.Training.Precision) != m.job.Spec.Training.Precision {
		a.log.Info(loop.PrecisionNote(m.device))
	}
	return m, nil
}

// compile makes the network for examples of seqLen tokens.
func (m *trainedModel) compile(seqLen int) error {
	if m.shape.SeqLen != 0 && m.shape.SeqLen != seqLen {
		return usageError{fmt.Errorf("%s was trained on examples of %d tokens, these have %d: they are of another task", m.ref, m.shape.SeqLen, seqLen)}
	}
	m.shape.SeqLen = seqLen
	built, err := model.Build(m.job.Spec.Model, m.shape, loop.Precision(m.device, m.job.Spec.Training.Precision), 1)
	if err != nil {
		return fmt.Errorf("%s: %w", m.ref, err)
	}
	if m.network, err = loop.NewNetwork(m.device, built, false); err != nil {
		return err
	}
	if err := m.network.SetWeights(m.weights); err != nil {
		return fmt.Errorf("%s: %w", m.ref, err)
	}
	m.weights = nil
	return nil
}

// load reads the checkpoint: from a directory, or the best or a named one of the store.
func (m *trainedModel) load(ctx context.Context) (*checkpoint.State, checkpoint.Manifest, error) {
	f := m.flags
	if f.store.uri != "" {
		var err error
		if m.store, err = f.store.open(ctx); err != nil {
			return nil, checkpoint.Manifest{}, err
		}
	}
	if f.checkpoint != "" {
		m.ref = f.checkpoint
		return checkpoint.ReadDir(ctx, f.checkpoint)
	}
	if m.store == nil {
		return nil, checkpoint.Manifest{}, usageError{errors.New("no model is named: give --checkpoint DIR or --store URI")}
	}
	ref, err := chooseCheckpoint(ctx, m.store, f.step)
	if err != nil {
		return nil, checkpoint.Manifest{}, err
	}
	m.ref = m.store.URI(ref.Folder)
	return checkpoint.Load(ctx, m.store, ref)
}

// chooseCheckpoint returns the checkpoint of a step; of no step the best one, or the last if none is best.
func chooseCheckpoint(ctx context.Context, store objectstore.Store, step int64) (checkpoint.Ref, error) {
	if step < 0 {
		if best := checkpoint.Best(ctx, store); best != nil {
			return *best, nil
		}
		if last := checkpoint.Last(ctx, store); last != nil {
			return *last, nil
		}
	}
	refs, err := checkpoint.List(ctx, store)
	if err != nil {
		return checkpoint.Ref{}, err
	}
	for _, ref := range refs {
		if ref.Step == step || step < 0 {
			return ref, nil
		}
	}
	return checkpoint.Ref{}, usageError{fmt.Errorf("%s holds no such checkpoint: see 'hrm checkpoint list'", store.URI(""))}
}

// inferred compares a spec with the tensors, and reads the sizes of the examples off them. Their length shows in the rows in
// work, which a checkpoint that was converted lacks, or in learned positions.
func inferred(weights, carry map[string]checkpoint.Tensor, spec v1alpha1.ModelSpec) (v1alpha1.ModelSpec, model.Shape, error) {
	shapes := map[string][]int{}
	for name, t := range weights {
		shapes[name] = t.Shape
	}
	spec, shape, err := model.Infer(shapes, spec)
	if tokens, ok := carry["tokens"]; ok && len(tokens.Shape) == 2 {
		shape.SeqLen = tokens.Shape[1]
	}
	return spec, shape, err
}

// heldOut returns the held-out half of a dataset: of dir, or of the one that the job trained on.
func (m *trainedModel) heldOut(ctx context.Context, dir string) (*dataset.Dataset, error) {
	if dir == "" {
		if m.store == nil || m.job.Spec.Dataset.Task == "" {
			return nil, usageError{errors.New("no dataset is named: give --data DIR, or --store where the job trained into")}
		}
		s3, err := m.flags.store.config()
		if err != nil {
			return nil, err
		}
		cached, _, _, err := dataset.Cached(ctx, m.store, "", m.job.Spec.Dataset, sourcesOf(ctx, s3), filepath.Join(m.flags.scratch, "hrm"), nil)
		if err != nil {
			return nil, fmt.Errorf("dataset of the job: %w", err)
		}
		dir = cached
	}
	d, err := dataset.Load(dir, dataset.Test)
	if err != nil {
		return nil, err
	}
	if d == nil || d.Examples() == 0 {
		return nil, fmt.Errorf("%s holds no held-out examples", dir)
	}
	if have, known := d.VocabSize, m.shape.VocabSize; have > known {
		return nil, usageError{fmt.Errorf("%s has %d different tokens, the model of %s knows %d: the dataset is of another task", dir, have, m.ref, known)}
	}
	if have, known := d.NumPuzzleIdentifiers, m.shape.NumPuzzleIdentifiers; known > 0 && have > known {
		return nil, usageError{fmt.Errorf("%s has %d puzzle identifiers, the model of %s knows %d: the dataset is not the one that it was trained on", dir, have, m.ref, known)}
	}
	return d, nil
}
