package official

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// weights are those of a small model in our form; halves of whole numbers need no digits that bfloat16 lacks.
func weights(t *testing.T) map[string]checkpoint.Tensor {
	t.Helper()
	built, err := model.Build(v1alpha1.ModelSpec{
		Architecture: v1alpha1.ArchitectureHRM, HiddenSize: 8, NumHeads: 2, Expansion: 1, HLayers: 1, LLayers: 1, HCycles: 1, LCycles: 1,
		PositionEncoding: v1alpha1.PositionEncodingRoPE, Loss: v1alpha1.LossStablemax, ACT: v1alpha1.ACTSpec{MaxSteps: 1},
	}, model.Shape{SeqLen: 3, VocabSize: 4, NumPuzzleIdentifiers: 2}, v1alpha1.PrecisionFloat32, 1)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]checkpoint.Tensor{}
	for _, p := range built.Parameters {
		values := make([]float32, p.Elements())
		for i := range values {
			values[i] = float32(i%9-4) / 2
		}
		out[Prefix+p.Name] = checkpoint.Float32Tensor(values, p.Shape...)
	}
	return out
}

func TestExport_isImportedWithTheSameBits(t *testing.T) {
	for _, precision := range []v1alpha1.Precision{v1alpha1.PrecisionBFloat16, v1alpha1.PrecisionFloat32} {
		for _, compiled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compiled %t", precision, compiled), func(t *testing.T) {
				ours := weights(t)
				theirs, rounded, err := Export(ours, precision, compiled)
				if err != nil || len(rounded) > 0 {
					t.Fatal(rounded, err)
				}
				back, err := Import(theirs, v1alpha1.ModelSpec{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(ours, back.Tensors); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if back.Precision != precision || back.Compiled != compiled || back.Shape.VocabSize != 4 || back.Shape.NumPuzzleIdentifiers != 2 {
					t.Errorf("came back as %s, compiled %t, %+v", back.Precision, back.Compiled, back.Shape)
				}
			})
		}
	}
}

func TestExport_namesAndTypesAreTheOfficialOnes(t *testing.T) {
	theirs, _, err := Export(weights(t), v1alpha1.PrecisionBFloat16, true)
	if err != nil {
		t.Fatal(err)
	}
	for name, tensor := range theirs {
		want := checkpoint.F32
		if name == "_orig_mod.model.inner.H_init" || name == "_orig_mod.model.inner.L_init" {
			want = checkpoint.BF16
		}
		if !strings.HasPrefix(name, "_orig_mod.model.inner.") || tensor.DType != want {
			t.Errorf("%s is %s, want %s", name, tensor.DType, want)
		}
	}
}

func TestExport_saysWhatLosesDigits(t *testing.T) {
	ours := weights(t)
	ours[Prefix+model.LInit] = checkpoint.Float32Tensor([]float32{0.1, 0, 0, 0, 0, 0, 0, 0}, 8)
	_, rounded, err := Export(ours, v1alpha1.PrecisionBFloat16, false)
	if err != nil || !slices.Equal(rounded, []string{model.LInit}) {
		t.Errorf("got %v, %v", rounded, err)
	}
}

func TestImport_takesOtherFloatsAndLeavesOutScratch(t *testing.T) {
	theirs := weights(t)
	theirs[Prefix+"q_head.bias"] = checkpoint.Tensor{DType: checkpoint.F16, Shape: []int{2}, Data: []byte{0, 0xc5, 0, 0x3c}}
	theirs[Prefix+"puzzle_emb.local_ids"] = checkpoint.Int32Tensor([]int32{0}, 1)
	w, err := Import(theirs, v1alpha1.ModelSpec{})
	if err != nil {
		t.Fatal(err)
	}
	if bias, err := w.Tensors[Prefix+"q_head.bias"].Float32s(); err != nil || !slices.Equal(bias, []float32{-5, 1}) {
		t.Errorf("the bias is %v, %v", bias, err)
	}
	if !slices.Equal(w.Ignored, []string{Prefix + "puzzle_emb.local_ids"}) {
		t.Errorf("left out were %v", w.Ignored)
	}
}

func TestImport_refusesWhatIsNoModel(t *testing.T) {
	for name, c := range map[string]struct {
		change func(map[string]checkpoint.Tensor)
		want   string
	}{
		"whole numbers": {func(w map[string]checkpoint.Tensor) {
			w[Prefix+model.HInit] = checkpoint.Int32Tensor(make([]int32, 8), 8)
		}, "H_init: tensor is I32"},
		"a name twice":   {func(w map[string]checkpoint.Tensor) { w["_orig_mod."+Prefix+model.HInit] = w[Prefix+model.HInit] }, "H_init is there twice"},
		"a name missing": {func(w map[string]checkpoint.Tensor) { delete(w, Prefix+"lm_head.weight") }, "missing: lm_head.weight"},
		"a foreign name": {func(w map[string]checkpoint.Tensor) { w["ema.x"] = w[Prefix+model.HInit] }, "belong to no HRM of these sizes: ema.x"},
	} {
		t.Run(name, func(t *testing.T) {
			theirs := maps.Clone(weights(t))
			c.change(theirs)
			if _, err := Import(theirs, v1alpha1.ModelSpec{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
