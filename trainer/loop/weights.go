package loop

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// takeWeights lets a new run begin with the weights that it is given. The puzzle table belongs to the puzzles of a dataset:
// that of another number of puzzles is not taken, and begins as it always does.
func (r *run) takeWeights() error {
	if r.Weights == nil {
		return nil
	}
	read, err := r.Weights()
	if err != nil {
		return err
	}
	given := map[string]checkpoint.Tensor{}
	for name, t := range read {
		given[official.ShortName(name)] = t
	}
	weights, err := r.network.Weights()
	if err != nil {
		return err
	}
	for _, p := range r.network.Model.Parameters {
		t, ok := given[p.Name]
		delete(given, p.Name)
		switch {
		case !ok:
			return fmt.Errorf("%w: the given weights are of another model, which lacks %s: set spec.model to theirs", ErrConfiguration, p.Name)
		case slices.Equal(t.Shape, p.Shape):
			weights[p.Name] = t
		case p.Name == model.PuzzleTable && len(t.Shape) == 2 && t.Shape[1] == p.Shape[1]:
			r.Tracker.Note(fmt.Sprintf("the puzzle embeddings begin anew: the given weights have those of %d puzzles, the dataset has %d", t.Shape[0], p.Shape[0]))
		default:
			return fmt.Errorf("%w: the given weights are of another model, %s has the shape %d there and %d here: set spec.model to theirs", ErrConfiguration, p.Name, t.Shape, p.Shape)
		}
	}
	if len(given) > 0 {
		return fmt.Errorf("%w: the given weights are of another model, which also has %v: set spec.model to theirs", ErrConfiguration, slices.Sorted(maps.Keys(given)))
	}
	if err := r.network.SetWeights(weights); err != nil {
		return err
	}
	r.Tracker.Note("training begins with the given weights")
	return nil
}
