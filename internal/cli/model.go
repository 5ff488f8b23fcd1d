package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

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
	cache      cacheFlags
	store      storeFlags
	device     deviceFlags
}

func (f *modelFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.checkpoint, "checkpoint", "", "directory of a checkpoint that 'hrm checkpoint pull' wrote")
	c.Flags().Int64Var(&f.step, "step", -1, "step of the checkpoint in --store; the best one if not set")
	c.Flags().StringVar(&f.scratch, "scratch", os.TempDir(), "directory for files that need not last")
	f.cache.add(c)
	f.store.add(c, "where the job trained into")
	f.device.add(c)
}

// trainedModel is a checkpoint's model on a device, with the job that it came from.
type trainedModel struct {
	job     *v1alpha1.HRMTrainingJob
	ref     string
	seqLen  int
	network *loop.Network
	device  device.Device
	flags   *modelFlags
	// store is where the job trained into; nil if only a pulled checkpoint is known.
	store objectstore.Store
	// copy is the job's dataset, if it is in use.
	copy *dataset.Copy
	note func(string)
}

func (m *trainedModel) close() {
	_ = errors.Join(m.network.Close(), m.device.Close())
	m.copy.Close()
}

// openModel loads the model that the flags choose.
func (a *app) openModel(ctx context.Context, f *modelFlags) (*trainedModel, error) {
	m := &trainedModel{flags: f, note: func(note string) { a.log.Info(note) }}
	state, manifest, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	m.job = &v1alpha1.HRMTrainingJob{}
	if err := json.Unmarshal(manifest.Job, m.job); err != nil {
		return nil, fmt.Errorf("%s does not say which job it is of: %w", m.ref, err)
	}
	m.job.Default()
	shape, err := shapeOf(state, &m.job.Spec.Model)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.ref, err)
	}
	m.seqLen = shape.SeqLen
	if m.device, err = f.device.open(m.note, false); err != nil {
		return nil, err
	}
	precision := loop.Precision(m.device, m.job.Spec.Training.Precision)
	if precision != m.job.Spec.Training.Precision {
		a.log.Info(loop.PrecisionNote(m.device))
	}
	built, err := model.Build(m.job.Spec.Model, shape, precision, 1)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", m.ref, err), m.device.Close())
	}
	if m.network, err = loop.NewNetwork(m.device, built, false); err != nil {
		return nil, errors.Join(err, m.device.Close())
	}
	if err := m.network.SetWeights(loop.ModelWeights(*state)); err != nil {
		m.close()
		return nil, fmt.Errorf("%s: %w", m.ref, err)
	}
	return m, nil
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

// shapeOf reads the dataset's sizes off the tensors.
func shapeOf(s *checkpoint.State, spec *v1alpha1.ModelSpec) (model.Shape, error) {
	tokens, ok := s.Carry["tokens"]
	embedding, ok2 := s.Model[loop.OfficialPrefix+"embed_tokens.embedding_weight"]
	if !ok || !ok2 || len(tokens.Shape) != 2 || len(embedding.Shape) != 2 {
		return model.Shape{}, errors.New("it lacks the carry's tokens or the token embedding")
	}
	shape := model.Shape{SeqLen: tokens.Shape[1], VocabSize: embedding.Shape[0]}
	if spec.PuzzleEmbedding() > 0 {
		table, ok := s.Model[loop.OfficialPrefix+model.PuzzleTable]
		if !ok || len(table.Shape) != 2 {
			return model.Shape{}, errors.New("it lacks the puzzle embeddings")
		}
		shape.NumPuzzleIdentifiers = table.Shape[0]
	}
	return shape, nil
}

// heldOut returns the held-out half of a dataset: of dir, or of the one that the job trained on.
func (m *trainedModel) heldOut(ctx context.Context, dir string) (*dataset.Dataset, error) {
	if dir == "" {
		if m.store == nil {
			return nil, usageError{errors.New("no dataset is named: give --data DIR, or --store where the job trained into")}
		}
		s3, err := m.flags.store.config()
		if err != nil {
			return nil, err
		}
		local, err := m.flags.cache.local(m.flags.scratch, m.note)
		if err != nil {
			return nil, err
		}
		if m.copy, err = dataset.Cached(ctx, m.store, "", m.job.Spec.Dataset, sourcesOf(ctx, s3), local, nil); err != nil {
			return nil, fmt.Errorf("dataset of the job: %w", explainFolder(err, m.flags.scratch))
		}
		dir = m.copy.Dir
	}
	d, err := dataset.Load(dir, dataset.Test)
	if err != nil {
		return nil, err
	}
	if d == nil || d.Examples() == 0 {
		return nil, fmt.Errorf("%s holds no held-out examples", dir)
	}
	return d, nil
}
