package model

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// shapesOf are the shapes of a model's parameters.
func shapesOf(spec v1alpha1.ModelSpec, shape Shape) map[string][]int {
	shapes := map[string][]int{}
	for _, p := range parameters(&Model{Spec: spec, Shape: shape}) {
		shapes[p.Name] = p.Shape
	}
	return shapes
}

func TestInfer_findsTheSizesInTheTensors(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			spec := tiny(v.change)
			unknown := spec
			unknown.HiddenSize, unknown.HLayers, unknown.LLayers, unknown.Levels = 0, 0, 0, 0
			unknown.PuzzleEmbeddingSize, unknown.Mixing, unknown.Combination = nil, "", ""
			if spec.PositionEncoding != v1alpha1.PositionEncodingNone {
				unknown.PositionEncoding = ""
			}
			// What shares all its layers does not show how many there are, and a single level looks like a Transformer.
			if spec.Architecture != v1alpha1.ArchitectureUniversalTransformer || spec.Sharing != "" {
				unknown.Layers, unknown.Sharing, unknown.Recursions = 0, "", 0
			}
			if spec.Levels != 1 && !spec.RecursOverPositions() {
				unknown.Architecture = ""
			}
			got, shape, err := Infer(shapesOf(spec, tinyShape), unknown)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(spec, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			want := tinyShape
			if spec.PositionEncoding != v1alpha1.PositionEncodingLearned && spec.Mixing != v1alpha1.MixingMLP {
				want.SeqLen = 0
			}
			if spec.PuzzleEmbedding() == 0 {
				want.NumPuzzleIdentifiers = 0
			}
			if shape != want {
				t.Errorf("got %+v, want %+v", shape, want)
			}
		})
	}
}

// A network without layers is taken for what its job says, and for nothing if nobody says it.
func TestInfer_needsToKnowWhatIsRecurrent(t *testing.T) {
	for _, v := range recurrent {
		t.Run(v.name, func(t *testing.T) {
			spec := tiny(v.change)
			shapes := shapesOf(spec, tinyShape)
			known := spec
			known.HiddenSize = 0
			got, shape, err := Infer(shapes, known)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(spec, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if shape.VocabSize != tinyShape.VocabSize || shape.NumPuzzleIdentifiers != tinyShape.NumPuzzleIdentifiers {
				t.Errorf("got %+v", shape)
			}
			if _, _, err := Infer(shapes, v1alpha1.ModelSpec{}); err == nil || !strings.Contains(err.Error(), "model.architecture") {
				t.Errorf("without an architecture: got %v", err)
			}
			delete(shapes, recurrentModule+"input.weight")
			delete(shapes, groupModule(0)+"state.weight")
			if _, _, err := Infer(shapes, known); err == nil || !strings.Contains(err.Error(), "missing") {
				t.Errorf("of tensors that lack one: got %v", err)
			}
		})
	}
}

func TestInfer_takesThePublishedExpansionWhereItFits(t *testing.T) {
	for _, c := range []struct{ hidden, expansion, known, want int32 }{
		{512, 4, 0, 4}, {512, 2, 0, 2}, {64, 1, 0, 4}, {64, 1, 2, 2},
	} {
		spec := tiny(func(s *v1alpha1.ModelSpec) { s.HiddenSize, s.Expansion = c.hidden, c.expansion })
		got, _, err := Infer(shapesOf(spec, tinyShape), v1alpha1.ModelSpec{Expansion: c.known})
		if err != nil || got.Expansion != c.want {
			t.Errorf("width %d, expansion %d, known %d: got %d, %v, want %d", c.hidden, c.expansion, c.known, got.Expansion, err, c.want)
		}
	}
}

func TestInfer_refusesOtherModels(t *testing.T) {
	spec := tiny(nil)
	for name, c := range map[string]struct {
		change func(shapes map[string][]int, known *v1alpha1.ModelSpec)
		want   string
	}{
		"nothing":   {func(s map[string][]int, _ *v1alpha1.ModelSpec) { clear(s) }, "embed_tokens.embedding_weight is missing"},
		"no module": {func(s map[string][]int, _ *v1alpha1.ModelSpec) { drop(s, "_level") }, "another architecture"},
		"no high-level module of an HRM": {func(s map[string][]int, k *v1alpha1.ModelSpec) {
			drop(s, "H_level")
			k.Architecture = v1alpha1.ArchitectureHRM
		}, "model.architecture is HRM, but the tensors are those of TRM"},
		"a missing tensor":         {func(s map[string][]int, _ *v1alpha1.ModelSpec) { delete(s, "q_head.bias") }, "missing: q_head.bias"},
		"a layer without its end":  {func(s map[string][]int, _ *v1alpha1.ModelSpec) { delete(s, "L_level.layers.1.mlp.down_proj.weight") }, "belong to no HRM of these sizes: L_level.layers.1"},
		"a tensor that is unknown": {func(s map[string][]int, _ *v1alpha1.ModelSpec) { s["lm_head.bias"] = []int{4} }, "belong to no HRM of these sizes: lm_head.bias"},
		"another shape":            {func(s map[string][]int, _ *v1alpha1.ModelSpec) { s["lm_head.weight"] = []int{5, 8} }, "lm_head.weight has [5 8], want [4 8]"},
		"one dimension":            {func(s map[string][]int, _ *v1alpha1.ModelSpec) { s[PuzzleTable] = []int{8} }, "want two dimensions"},
		"a width of no expansion": {func(s map[string][]int, _ *v1alpha1.ModelSpec) {
			s["H_level.layers.0.mlp.gate_up_proj.weight"] = []int{500, 8}
		}, "no expansion"},
		"other sizes than known": {func(_ map[string][]int, k *v1alpha1.ModelSpec) { k.HLayers = 4 }, "model.hLayers is 4, but the tensors are those of 1"},
		"no puzzles":             {func(_ map[string][]int, k *v1alpha1.ModelSpec) { k.PuzzleEmbeddingSize = new(int32) }, "puzzleEmbeddingSize is 0, but"},
	} {
		t.Run(name, func(t *testing.T) {
			shapes, known := shapesOf(spec, tinyShape), v1alpha1.ModelSpec{}
			c.change(shapes, &known)
			if _, _, err := Infer(shapes, known); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func drop(shapes map[string][]int, part string) {
	for name := range shapes {
		if strings.Contains(name, part) {
			delete(shapes, name)
		}
	}
}
