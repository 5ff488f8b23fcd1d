// Package official converts between checkpoints of the official PyTorch implementation and ours: the same tensors under
// the same names, but in other element types, with a prefix if the model was compiled, and with the model's options in a
// file of their own, all_config.yaml.
package official

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

const (
	// Prefix is what the official implementation puts before every parameter's name.
	Prefix = "model.inner."
	// compiledPrefix comes before that if the model was compiled, as it is for training.
	compiledPrefix = "_orig_mod."
)

// scratch are buffers that some versions of the official code store, though they are computed anew before they are used.
var scratch = []string{"puzzle_emb.local_weights", "puzzle_emb.local_ids", "rotary_emb.cos_cached", "rotary_emb.sin_cached"}

// ShortName is a tensor's name less all prefixes.
func ShortName(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, compiledPrefix), Prefix)
}

// Trained says whether a tensor is one that papers count as parameters: the initial states are fixed, and the puzzle table
// is as large as its dataset.
func Trained(name string) bool {
	return !slices.Contains([]string{model.HInit, model.LInit, model.PuzzleTable}, ShortName(name))
}

// Weights are a model's tensors in our form.
type Weights struct {
	// Tensors are float32, under their official names with [Prefix]. Those that were so share the memory of what was imported.
	Tensors map[string]checkpoint.Tensor
	// Spec has the sizes that the tensors show, besides what was known before; Shape.SeqLen may be 0.
	Spec  v1alpha1.ModelSpec
	Shape model.Shape
	// Precision is what the model was computed in.
	Precision v1alpha1.Precision
	// Compiled says that the names had the prefix of compiled models, Ignored which tensors were left out.
	Compiled bool
	Ignored  []string
}

// Import takes the tensors of a state dict over. known is what is known about the model without them; its zero values are
// what is not known.
func Import(tensors map[string]checkpoint.Tensor, known v1alpha1.ModelSpec) (*Weights, error) {
	w := &Weights{Tensors: map[string]checkpoint.Tensor{}, Precision: v1alpha1.PrecisionFloat32}
	shapes := map[string][]int{}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t, short := tensors[name], ShortName(name)
		w.Compiled = w.Compiled || strings.HasPrefix(name, compiledPrefix)
		if slices.Contains(scratch, short) {
			w.Ignored = append(w.Ignored, name)
			continue
		}
		if _, twice := shapes[short]; twice {
			return nil, fmt.Errorf("tensor %s is there twice, with and without its prefixes", short)
		}
		shapes[short] = t.Shape
		var err error
		if w.Tensors[Prefix+short], err = widened(t); err != nil {
			return nil, fmt.Errorf("tensor %.200s: %w", name, err)
		}
		// The initial states are buffers in the type that the model computes in.
		if short == model.HInit && t.DType == checkpoint.BF16 {
			w.Precision = v1alpha1.PrecisionBFloat16
		}
	}
	var err error
	w.Spec, w.Shape, err = model.Infer(shapes, known)
	return w, err
}

// widened returns a tensor in float32: itself if it is.
func widened(t checkpoint.Tensor) (checkpoint.Tensor, error) {
	if t.DType == checkpoint.F32 {
		return t, nil
	}
	values, err := t.Float32s()
	return checkpoint.Tensor{DType: checkpoint.F32, Shape: t.Shape, Data: device.Bytes(values)}, err
}

// Export returns a checkpoint's weights as the official implementation stores those of a model that computes in the given
// precision: the initial states in that type, all else float32. rounded are the names of those that lost digits by it.
func Export(weights map[string]checkpoint.Tensor, precision v1alpha1.Precision, compiled bool) (tensors map[string]checkpoint.Tensor, rounded []string, err error) {
	tensors = map[string]checkpoint.Tensor{}
	for name, t := range weights {
		short := ShortName(name)
		if precision == v1alpha1.PrecisionBFloat16 && (short == model.HInit || short == model.LInit) {
			values, err := t.Float32s()
			if err != nil {
				return nil, nil, fmt.Errorf("tensor %s: %w", name, err)
			}
			narrow := narrowed(values)
			for i, v := range values {
				if device.FromBFloat16(narrow[i]) != v {
					rounded = append(rounded, short)
					break
				}
			}
			t = checkpoint.Tensor{DType: checkpoint.BF16, Shape: t.Shape, Data: device.Bytes(narrow)}
		}
		full := Prefix + short
		if compiled {
			full = compiledPrefix + full
		}
		tensors[full] = t
	}
	slices.Sort(rounded)
	return tensors, rounded, nil
}

func narrowed(values []float32) []uint16 {
	out := make([]uint16, len(values))
	for i, v := range values {
		out[i] = device.RoundBFloat16(v)
	}
	return out
}
