package cli

import (
	"context"
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
)

// readWeights reads what 'hrm train --weights' names: a checkpoint directory, or a PyTorch file.
func readWeights(ctx context.Context, path string, spec v1alpha1.ModelSpec) (map[string]checkpoint.Tensor, error) {
	if path == "" {
		return nil, nil
	}
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
