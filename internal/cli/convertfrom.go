package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/torchfile"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// fromTorch writes a checkpoint directory with the weights of a PyTorch file.
func (a *app) fromTorch(source string, f convertFlags) error {
	job, config, err := knownModel(source, f)
	if err != nil {
		return err
	}
	w, held, err := readTorch(source, job.Spec.Model)
	if err != nil {
		return err
	}
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
	state := checkpoint.State{Model: w.Tensors, Scalars: map[string]string{}}
	err = checkpoint.WriteDir(f.out, state, checkpoint.Options{Job: raw, Version: a.version, Now: time.Now})
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("--out %w: name another directory, or remove it", err)}
	}
	if err != nil {
		return err
	}
	lines := []string{source + ": " + held}
	for _, name := range w.Ignored {
		lines = append(lines, "left out, being computed anew: "+name)
	}
	lines = append(lines, f.out+": "+describeModel(&job.Spec, w))
	if config != "" {
		lines = append(lines, "options of the model from "+config)
	}
	if len(assumed) > 0 {
		lines = append(lines, fmt.Sprintf("not in the file, taken as published: %s; say otherwise with --set or --config", strings.Join(assumed, " ")))
	}
	_, err = fmt.Fprintln(a.out, strings.Join(lines, "\n"))
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
	return job, path, convertible(&job.Spec.Model)
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

// assumptions lists what neither the tensors nor anyone has said about a model, with the defaults that will be taken.
func assumptions(m v1alpha1.ModelSpec) []string {
	job := v1alpha1.HRMTrainingJob{}
	job.Spec.Model = m
	job.Default()
	var list []string
	defaults := hidden(&job.Spec.Model)
	for i, field := range hidden(&m) {
		if !field.set {
			list = append(list, defaults[i].String())
		}
	}
	return list
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
	layers := strconv.Itoa(int(max(m.Layers, m.HLayers)))
	if m.LLayers > 0 {
		layers += "+" + strconv.Itoa(int(m.LLayers))
	}
	return fmt.Sprintf("%s of %d parameters, %s layers of %d, expansion %d, %d heads, positions %s, %d tokens, %d puzzle embeddings, %s",
		m.Architecture, trained, layers, m.HiddenSize, m.Expansion, m.NumHeads, m.PositionEncoding, w.Shape.VocabSize, w.Shape.NumPuzzleIdentifiers, spec.Training.Precision)
}
