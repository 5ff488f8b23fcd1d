package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/torchfile"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// convertFlags are the choices of 'hrm checkpoint convert'.
type convertFlags struct {
	out string
	// To a checkpoint.
	config string
	set    []string
	// To a PyTorch file.
	compiled bool
	step     int64
	store    storeFlags
}

func (a *app) convertCommand() *cobra.Command {
	var f convertFlags
	c := &cobra.Command{
		Use:   "convert SOURCE --out PATH",
		Short: "Convert a checkpoint of the official PyTorch code to ours, or ours to such a one",
		Long: `convert turns a file that torch.save wrote into a checkpoint directory, which 'hrm eval', 'hrm solve' and 'hrm train
--weights' take, or a checkpoint into a file that torch.load reads, also with weights_only=True. What SOURCE is decides
the direction: a PyTorch file, or a checkpoint directory or a place (a directory or s3://bucket/prefix) that a job trained
into. Nothing that is there already is overwritten.

The tensors of a PyTorch file show the model's sizes. What they do not show is read from the ` + official.ConfigName + ` that the
official training writes: that of --config, or the one beside SOURCE. Without one the published values are taken: numHeads
8, hCycles 2, lCycles 2, loss Stablemax, act.maxSteps 16. --set overrides either. A wrong value shows in nothing but wrong
answers.

Reading a PyTorch file executes nothing. What it holds besides tensors is refused by name.`,
		Example: `  hrm checkpoint convert step_26040 --out ./checkpoint
  hrm checkpoint convert model.pt --out ./checkpoint --set model.numHeads=4 --set model.act.maxSteps=8
  hrm checkpoint convert ./checkpoint --out model.pt
  hrm checkpoint convert ./run --step 5000 --out model.pt --compiled`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.out == "" {
				return usageError{errors.New("--out is missing: name the directory, or the PyTorch file, to write")}
			}
			torch, err := isFile(args[0])
			if err != nil {
				return err
			}
			unfit := []string{"config", "set"}
			if torch {
				unfit = []string{"compiled", "step"}
			}
			for _, name := range unfit {
				if c.Flags().Changed(name) {
					return usageError{fmt.Errorf("--%s is for the other direction: %s is %s", name, args[0], sourceKind(torch))}
				}
			}
			if torch {
				return a.fromTorch(args[0], f)
			}
			return a.toTorch(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVar(&f.out, "out", "", "what to write: a directory, or a PyTorch file if SOURCE is a checkpoint of ours")
	c.Flags().StringVar(&f.config, "config", "", "the official training's "+official.ConfigName+"; the one beside SOURCE if not set")
	c.Flags().StringArrayVar(&f.set, "set", nil, "set a field that the tensors do not show, as in model.numHeads=4; may be repeated")
	c.Flags().BoolVar(&f.compiled, "compiled", false, "name the tensors as those of a compiled model: _orig_mod.model.inner.…")
	c.Flags().Int64Var(&f.step, "step", -1, "step of the checkpoint in a place that a job trained into; the best one if not set")
	f.store.addBucket(c)
	return c
}

// isFile says whether a source is a file, which can only be PyTorch's: a checkpoint is a directory, or in a store.
func isFile(source string) (bool, error) {
	if strings.Contains(source, "://") {
		return false, nil
	}
	info, err := os.Stat(source)
	if err != nil {
		return false, usageError{err}
	}
	return !info.IsDir(), nil
}

func sourceKind(torch bool) string {
	if torch {
		return "a PyTorch file"
	}
	return "a checkpoint, or holds some"
}

// fromTorch writes a checkpoint directory with the weights of a PyTorch file.
func (a *app) fromTorch(source string, f convertFlags) error {
	known, said, err := knownModel(source, f)
	if err != nil {
		return err
	}
	w, count, err := readTorch(source, known.Spec.Model)
	if err != nil {
		return err
	}
	job := known
	job.Spec.Model = w.Spec
	if job.Spec.Training.Precision == "" {
		job.Spec.Training.Precision = w.Precision
	}
	assumed := assumptions(job.Spec.Model)
	job.Default()
	if err := job.Spec.Model.Validate(); err != nil {
		return usageError{fmt.Errorf("%s: %w: say what is right with --set or --config", source, err)}
	}
	raw, err := json.Marshal(job)
	if err != nil {
		return err
	}
	err = checkpoint.WriteDir(f.out, checkpoint.State{Model: w.Tensors, Scalars: map[string]string{}}, checkpoint.Options{Job: raw, Version: a.version, Now: time.Now})
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("--out %w: name another directory, or remove it", err)}
	}
	if err != nil {
		return err
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s: %s\n", source, count)
	for _, name := range w.Ignored {
		fmt.Fprintf(&s, "left out, being computed anew: %s\n", name)
	}
	fmt.Fprintf(&s, "%s: %s\n", f.out, describeModel(&job.Spec, w))
	if said != "" {
		fmt.Fprintf(&s, "options of the model from %s\n", said)
	}
	if len(assumed) > 0 {
		fmt.Fprintf(&s, "not in the file, taken as published: %s; say otherwise with --set or --config\n", strings.Join(assumed, " "))
	}
	_, err = io.WriteString(a.out, s.String())
	return err
}

// knownModel is a job that has what is known about the model without its tensors, and where that is from.
func knownModel(source string, f convertFlags) (*v1alpha1.HRMTrainingJob, string, error) {
	job := &v1alpha1.HRMTrainingJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{Name: "converted"},
	}
	path := f.config
	if path == "" {
		path = filepath.Join(filepath.Dir(source), official.ConfigName)
	}
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		if job.Spec.Model, err = official.ParseConfig(raw); err != nil {
			return nil, "", dataerror.New(path, 0, "%v", err)
		}
	case f.config == "" && errors.Is(err, fs.ErrNotExist):
		path = ""
	default:
		return nil, "", usageError{fmt.Errorf("--config: %w", err)}
	}
	for _, s := range f.set {
		if !strings.HasPrefix(s, "model.") && !strings.HasPrefix(s, "training.precision=") {
			return nil, "", usageError{fmt.Errorf("--set %s: weights have a model and training.precision, nothing else to be set", s)}
		}
		if err := applySet(&job.Spec, s); err != nil {
			return nil, "", err
		}
	}
	return job, path, nil
}

// readTorch reads a model out of a PyTorch file, and says what the file held.
func readTorch(path string, known v1alpha1.ModelSpec) (*official.Weights, string, error) {
	tensors, err := torchfile.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	w, err := official.Import(tensors, known)
	if err != nil {
		return nil, "", dataerror.New(path, 0, "%v", err)
	}
	return w, contents(tensors), nil
}

// contents says how many tensors there are, of which types, and how they are named.
func contents(tensors map[string]checkpoint.Tensor) string {
	types := map[checkpoint.DType]int{}
	numbers := 0
	for _, t := range tensors {
		types[t.DType]++
		numbers += t.Elements()
	}
	var parts []string
	for dtype, n := range types {
		parts = append(parts, fmt.Sprintf("%d %s", n, dtype))
	}
	slices.Sort(parts)
	return fmt.Sprintf("%d tensors (%s) of %d numbers", len(tensors), strings.Join(parts, ", "), numbers)
}

// assumptions lists what neither the tensors nor anyone has said about a model, with the defaults that will be taken.
func assumptions(m v1alpha1.ModelSpec) []string {
	job := v1alpha1.HRMTrainingJob{}
	job.Default()
	var list []string
	unsaid, defaults := hidden(&m), hidden(&job.Spec.Model)
	for i, field := range unsaid {
		if reflect.ValueOf(field.value).IsZero() {
			list = append(list, defaults[i].String())
		}
	}
	return list
}

// option is a field of a model's spec.
type option struct {
	name  string
	value any
}

func (o option) String() string { return fmt.Sprintf("model.%s=%v", o.name, o.value) }

// hidden are the options that no tensor shows.
func hidden(m *v1alpha1.ModelSpec) []option {
	return []option{{"numHeads", m.NumHeads}, {"hCycles", m.HCycles}, {"lCycles", m.LCycles}, {"loss", m.Loss}, {"act.maxSteps", m.ACT.MaxSteps}}
}

// describeModel says what the tensors turned out to be.
func describeModel(spec *v1alpha1.HRMTrainingJobSpec, w *official.Weights) string {
	m := &spec.Model
	trained := 0
	for name, t := range w.Tensors {
		if official.Trained(name) {
			trained += t.Elements()
		}
	}
	return fmt.Sprintf("HRM of %d parameters, %d+%d layers of %d, expansion %d, %d heads, positions %s, %d tokens, %d puzzle embeddings, %s",
		trained, m.HLayers, m.LLayers, m.HiddenSize, m.Expansion, m.NumHeads, m.PositionEncoding, w.Shape.VocabSize, w.Shape.NumPuzzleIdentifiers, spec.Training.Precision)
}

// toTorch writes a PyTorch file with the weights of a checkpoint.
func (a *app) toTorch(ctx context.Context, source string, f convertFlags) error {
	state, manifest, ref, err := f.find(ctx, source)
	if err != nil {
		return err
	}
	job := &v1alpha1.HRMTrainingJob{}
	if err := json.Unmarshal(manifest.Job, job); err != nil {
		return fmt.Errorf("%s does not say which job it is of: %w", ref, err)
	}
	job.Default()
	tensors, rounded, err := official.Export(state.Model, job.Spec.Training.Precision, f.compiled)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	err = torchfile.WriteFile(f.out, tensors)
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("--out: %w: name another file, or remove it", err)}
	}
	if err != nil {
		return err
	}
	var shown []string
	for _, o := range hidden(&job.Spec.Model) {
		shown = append(shown, o.String())
	}
	_, err = fmt.Fprintf(a.out, "%s: step %d\n%s: %s\nnot in the file: %s\n", ref, state.Step, f.out, contents(tensors), strings.Join(shown, " "))
	if err == nil && len(rounded) > 0 {
		_, err = fmt.Fprintf(a.out, "rounded to bfloat16, as they are when the model computes in it: %s\n", strings.Join(rounded, ", "))
	}
	return err
}

// find loads the checkpoint of a directory, or the one that is wanted of a place with several.
func (f *convertFlags) find(ctx context.Context, source string) (*checkpoint.State, checkpoint.Manifest, string, error) {
	if checkpoint.IsDir(source) {
		if f.step >= 0 {
			return nil, checkpoint.Manifest{}, "", usageError{fmt.Errorf("--step: %s is one checkpoint, not a place with several", source)}
		}
		state, manifest, err := checkpoint.ReadDir(ctx, source)
		return state, manifest, source, err
	}
	c, err := f.store.config()
	if err != nil {
		return nil, checkpoint.Manifest{}, "", err
	}
	var store objectstore.Store
	if store, err = openStore(ctx, source, c); err != nil {
		return nil, checkpoint.Manifest{}, "", err
	}
	ref, err := chooseCheckpoint(ctx, store, f.step)
	if err != nil {
		return nil, checkpoint.Manifest{}, "", err
	}
	state, manifest, err := checkpoint.Load(ctx, store, ref)
	return state, manifest, store.URI(ref.Folder), err
}
