package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/torchfile"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

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
	if err := convertible(&job.Spec.Model); err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
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
