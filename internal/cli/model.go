package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

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
	f.addOf(c)
	c.Flags().StringVar(&f.checkpoint, "checkpoint", "", "directory of a checkpoint that 'hrm checkpoint pull' wrote")
	c.Flags().Int64Var(&f.step, "step", -1, "step of the checkpoint in --store; the best one if not set")
	f.store.addURI(c, "where the job trained into")
}

// addOf adds the flags of a command whose arguments name the models.
func (f *modelFlags) addOf(c *cobra.Command) {
	c.Flags().StringVar(&f.scratch, "scratch", os.TempDir(), "directory for files that need not last")
	f.cache.add(c)
	f.store.addBucket(c)
	f.device.add(c)
}

// trainedModel is a checkpoint's model on a device, with the job that it came from.
type trainedModel struct {
	job *v1alpha1.HRMTrainingJob
	ref string
	// step is that of the checkpoint.
	step int64
	// shape is that of what it was trained on. SeqLen is 0 where the checkpoint does not show it.
	shape   model.Shape
	weights map[string]checkpoint.Tensor
	// network is nil until compile has made it.
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
	if m.network != nil {
		_ = m.network.Close()
	}
	_ = m.device.Close()
	m.copy.Close()
}

// openModel loads the model that the flags choose, and the device that is to compute it.
func (a *app) openModel(ctx context.Context, f *modelFlags) (*trainedModel, error) {
	m := &trainedModel{flags: f, note: func(note string) { a.log.Info(note) }}
	state, manifest, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	m.job, m.step = &v1alpha1.HRMTrainingJob{}, manifest.Step
	if err := json.Unmarshal(manifest.Job, m.job); err != nil {
		return nil, fmt.Errorf("%s does not say which job it is of: %w", m.ref, err)
	}
	m.job.Default()
	m.weights = loop.ModelWeights(*state)
	if m.job.Spec.Model, m.shape, err = inferred(m.weights, state.Carry, m.job.Spec.Model); err != nil {
		return nil, fmt.Errorf("%s: %w", m.ref, err)
	}
	m.device, err = f.device.open(m.note)
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

// compileForTask makes the network for puzzles of its own task, where no dataset says how long they are. A converted
// checkpoint names neither task nor length: its vocabulary tells.
func (m *trainedModel) compileForTask() (v1alpha1.Task, error) {
	task, seqLen := m.job.Spec.Dataset.Task, m.shape.SeqLen
	if task == "" || seqLen == 0 {
		published, length, found := dataset.PublishedTask(m.shape.VocabSize)
		if !found {
			return "", usageError{fmt.Errorf("%s does not say what task it is of: name its dataset with --data DIR", m.ref)}
		}
		task = published
		if seqLen == 0 {
			seqLen = length
		}
	}
	return task, m.compile(seqLen)
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
	return checkpoint.Ref{}, usageError{fmt.Errorf("%s %w: see 'hrm checkpoint list'", store.URI(""), errNoCheckpoint)}
}

var errNoCheckpoint = errors.New("holds no such checkpoint")

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

// evalData is one half of a dataset, with what the files beside it say of its examples.
type evalData struct {
	*dataset.Dataset
	task  v1alpha1.Task
	dir   string
	names []string
}

// name is the puzzle identifier of an example by its name; empty for one of no puzzle in particular.
func (d evalData) name(example int) string {
	id := d.Identifier(example)
	if id == d.BlankIdentifierID || int(id) >= len(d.names) {
		return ""
	}
	return d.names[id]
}

// caption names an example by its number, its puzzle, and how hard it is.
func (d evalData) caption(split string, index int) string {
	text := fmt.Sprintf("%s %d", split, index)
	if name := d.name(index); name != "" {
		text += " " + name
	}
	if rating, ok := d.Rating(index); ok {
		text += fmt.Sprintf(", rating %d", rating)
	}
	return text
}

// examples returns a half of a dataset: of the one in dir, or of the one that the job trained on. The model is compiled for
// it, which must be of its task.
func (m *trainedModel) examples(ctx context.Context, dir, split string) (evalData, error) {
	if dir == "" {
		var err error
		if dir, err = m.jobDataset(ctx); err != nil {
			return evalData{}, err
		}
	}
	data, err := loadEvalData(dir, split)
	if err != nil {
		return data, err
	}
	if have, known := data.VocabSize, m.shape.VocabSize; have > known {
		return data, usageError{fmt.Errorf("%s has %d different tokens, the model of %s knows %d: the dataset is of another task", dir, have, m.ref, known)}
	}
	if have, known := data.NumPuzzleIdentifiers, m.shape.NumPuzzleIdentifiers; known > 0 && have > known {
		return data, usageError{fmt.Errorf("%s has %d puzzle identifiers, the model of %s knows %d: the dataset is not the one that it was trained on", dir, have, m.ref, known)}
	}
	return data, m.compile(data.SeqLen)
}

// jobDataset fetches the dataset that the job trained on, or builds it again.
func (m *trainedModel) jobDataset(ctx context.Context) (string, error) {
	if m.store == nil || m.job.Spec.Dataset.Task == "" {
		return "", usageError{errors.New("no dataset is named: give --data DIR, or --store where the job trained into")}
	}
	s3, err := m.flags.store.config()
	if err != nil {
		return "", err
	}
	local, err := m.flags.cache.local(m.flags.scratch, m.note)
	if err != nil {
		return "", err
	}
	if m.copy, err = dataset.Cached(ctx, m.store, "", m.job.Spec.Dataset, sourcesOf(ctx, s3), local, seldom(10*time.Second, time.Now, m.note)); err != nil {
		return "", fmt.Errorf("dataset of the job: %w", explainFolder(err, m.flags.scratch))
	}
	return m.copy.Dir, nil
}

// loadEvalData loads a half of the dataset in dir.
func loadEvalData(dir, split string) (evalData, error) {
	d, err := dataset.Load(dir, split)
	if err != nil {
		return evalData{}, err
	}
	if d == nil || d.Examples() == 0 {
		return evalData{}, fmt.Errorf("%s holds no %s examples", dir, map[string]string{dataset.Test: "held-out", dataset.Train: "training"}[split])
	}
	return evalDataOf(d, dir)
}

// evalDataOf adds to a loaded half what the files beside it say.
func evalDataOf(d *dataset.Dataset, dir string) (data evalData, err error) {
	data = evalData{Dataset: d, dir: dir}
	if data.task, err = dataset.TaskOf(dir, &d.Metadata); err != nil {
		return data, err
	}
	data.names, err = dataset.ReadIdentifiers(dir)
	return data, err
}
