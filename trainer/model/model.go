// Package model holds the architectures as Gorgonia graphs and the arithmetic of adaptive computation time.
package model

import (
	"fmt"
	"math"
	"sort"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Shape is what a dataset says of its examples.
type Shape struct {
	// SeqLen is the number of tokens S.
	SeqLen int
	// VocabSize is the number of different tokens V.
	VocabSize int
	// NumPuzzleIdentifiers is the number of rows of the puzzle table.
	NumPuzzleIdentifiers int
}

// The names of tensors that no gradient step of AdamATan2 changes.
const (
	HInit       = "H_init"
	LInit       = "L_init"
	PuzzleTable = "puzzle_emb.weights"
)

// positionTable holds learned positions, which gradient steps do change.
const positionTable = "embed_pos.embedding_weight"

// Parameter is one tensor of a model, under its name in the official checkpoints less "model.inner.".
type Parameter struct {
	Name  string
	Shape []int
	// Std is the standard deviation of the truncated normal distribution that it begins with; 0 means Constant.
	Std      float64
	Constant float32
	// Trainable parameters are updated by AdamATan2. The puzzle table has its own optimizer, H_init and L_init have none.
	Trainable bool
}

// Elements returns the number of elements.
func (p Parameter) Elements() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// State is what a model carries from segment to segment, [T,D] per row: Name is the input of its programs, Name+".next" the
// output, Init the parameter that a row begins with at every position.
type State struct{ Name, Init string }

// Model is an architecture of given sizes, as programs.
//
// Inputs per row: "tokens" [S], "labels" [S], "halted", "last" Int32; "puzzle" [dim] float32 if there is a prefix; the states
// [T,D]. Parameters are bound by name. Train delivers the states' ".next", "logits" [S,V], "q" [2], "q.target" (if q_continue
// learns, and act.maxSteps > 1), "loss.lm", "loss.q" [2], "stats" [2], "grad/puzzle" [dim] and a gradient "grad/<name>" per
// trainable parameter; Eval delivers the states' ".next", "logits", "q", "loss.lm" and "stats".
type Model struct {
	Spec       v1alpha1.ModelSpec
	Shape      Shape
	Activation device.DType
	Parameters []Parameter
	Train      *device.Program
	Eval       *device.Program
}

// Build returns the model that the spec asks for. The gradient is that of the loss divided by globalBatch.
func Build(spec v1alpha1.ModelSpec, shape Shape, precision v1alpha1.Precision, globalBatch int) (*Model, error) {
	if _, ok := architectures[spec.Architecture]; !ok {
		return nil, fmt.Errorf("architecture %q does not exist; these do: %v", spec.Architecture, architectureNames())
	}
	if shape.SeqLen < 1 || shape.VocabSize < 2 || globalBatch < 1 {
		return nil, fmt.Errorf("a model needs tokens, a vocabulary and a batch, not %+v and batch %d", shape, globalBatch)
	}
	m := &Model{Spec: spec, Shape: shape, Activation: device.BFloat16}
	if precision == v1alpha1.PrecisionFloat32 {
		m.Activation = device.Float32
	}
	m.Parameters = parameters(m)
	var err error
	if m.Train, err = trainProgram(m, globalBatch); err != nil {
		return nil, fmt.Errorf("build %s: %w", spec.Architecture, err)
	}
	if m.Eval, err = evalProgram(m); err != nil {
		return nil, fmt.Errorf("build %s: %w", spec.Architecture, err)
	}
	return m, nil
}

func architectureNames() []string {
	var names []string
	for name := range architectures {
		names = append(names, string(name))
	}
	sort.Strings(names)
	return names
}

// States returns what the model carries from segment to segment.
func (m *Model) States() []State { return architectures[m.Spec.Architecture].states(&m.Spec) }

// Prefix returns the number of positions that the puzzle's embedding takes before the tokens.
func (m *Model) Prefix() int { return m.Spec.PuzzlePositions() }

// Positions returns T: prefix and tokens.
func (m *Model) Positions() int { return m.Prefix() + m.Shape.SeqLen }

// RoPETheta returns the base of the angles by which RoPE turns queries and keys; 0 for a model without RoPE.
func (m *Model) RoPETheta() float64 {
	if m.Spec.PositionEncoding != v1alpha1.PositionEncodingRoPE {
		return 0
	}
	return ropeTheta
}

// swiGLUWidth returns F: expansion*D*2/3, rounded up to a multiple of 256.
func swiGLUWidth(hidden, expansion int) int {
	return (int(math.RoundToEven(float64(expansion*hidden)*2/3)) + 255) / 256 * 256
}
