package optim

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// AdamATan2 is the optimizer as a [gorgonia.Solver], for graphs that Gorgonia's own machines run. The same parameters
// must be given in the same order at every step.
type AdamATan2 struct {
	// LearningRate may be changed between steps.
	LearningRate float64
	Hyperparameters
	step int64
	m, v [][]float32
}

var _ gorgonia.Solver = (*AdamATan2)(nil)

// Step updates the values in place. Values and gradients are float32.
func (s *AdamATan2) Step(model []gorgonia.ValueGrad) error {
	if s.m == nil {
		s.m, s.v = make([][]float32, len(model)), make([][]float32, len(model))
	}
	if len(model) != len(s.m) {
		return fmt.Errorf("adam-atan2: %d parameters, but %d at the first step", len(model), len(s.m))
	}
	s.step++
	h := device.AdamATan2Step{LearningRate: s.LearningRate, WeightDecay: s.WeightDecay, Beta1: s.Beta1, Beta2: s.Beta2, Step: s.step}
	for i, n := range model {
		p, ok := n.Value().Data().([]float32)
		if !ok {
			return fmt.Errorf("adam-atan2: parameter %d holds %T, want []float32", i, n.Value().Data())
		}
		gradient, err := n.Grad()
		if err != nil {
			return fmt.Errorf("adam-atan2: gradient of parameter %d: %w", i, err)
		}
		g, ok := gradient.Data().([]float32)
		if !ok || len(g) != len(p) {
			return fmt.Errorf("adam-atan2: gradient of parameter %d is a %T of %v, want %d of float32", i, gradient.Data(), gradient.Shape(), len(p))
		}
		if s.m[i] == nil {
			s.m[i], s.v[i] = make([]float32, len(p)), make([]float32, len(p))
		}
		updateSlice(p, g, s.m[i], s.v[i], h)
	}
	return nil
}
