package cli

import (
	"context"
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
)

// weightsOf returns what reads the weights that 'hrm train --weights' names; nil if it names none.
func weightsOf(ctx context.Context, path string, spec v1alpha1.ModelSpec) func() (map[string]checkpoint.Tensor, error) {
	if path == "" {
		return nil
	}
	return func() (map[string]checkpoint.Tensor, error) { return readWeights(ctx, path, spec) }
}

// readWeights reads a checkpoint directory, or a PyTorch file.
func readWeights(ctx context.Context, path string, spec v1alpha1.ModelSpec) (map[string]checkpoint.Tensor, error) {
	torch, err := isFile(path)
	if err != nil {
		return nil, err
	}
	if torch {
		w, _, err := readTorch(path, spec)
		if err != nil {
			return nil, err
		}
		return w.Tensors, nil
	}
	state, _, err := checkpoint.ReadDir(ctx, path)
	if err != nil {
		return nil, usageError{fmt.Errorf("--weights: %w", err)}
	}
	return state.Model, nil
}
