package official

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// published is what the official training writes for Sudoku-Extreme, less the names of the run.
const published = `
arch:
  H_cycles: 2
  H_layers: 4
  L_cycles: 2
  L_layers: 4
  expansion: 4
  halt_exploration_prob: 0.1
  halt_max_steps: 16
  hidden_size: 512
  loss:
    loss_type: stablemax_cross_entropy
    name: losses@ACTLossHead
  name: hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1
  num_heads: 8
  pos_encodings: rope
  puzzle_emb_ndim: 512
beta1: 0.9
data_path: data/sudoku-extreme-1k-aug-1000
epochs: 20000
global_batch_size: 768
lr: 0.0001
`

func TestParseConfig_readsWhatTheOfficialTrainingWrites(t *testing.T) {
	got, err := ParseConfig([]byte(published))
	if err != nil {
		t.Fatal(err)
	}
	width := int32(512)
	want := v1alpha1.ModelSpec{
		Architecture: v1alpha1.ArchitectureHRM, HiddenSize: 512, NumHeads: 8, Expansion: 4, HLayers: 4, LLayers: 4, HCycles: 2, LCycles: 2,
		PositionEncoding: v1alpha1.PositionEncodingRoPE, Loss: v1alpha1.LossStablemax, PuzzleEmbeddingSize: &width,
		ACT: v1alpha1.ACTSpec{MaxSteps: 16, ExplorationProbability: "0.1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseConfig_leavesOpenWhatIsNotSaid(t *testing.T) {
	got, err := ParseConfig([]byte("arch: {name: 'x@HierarchicalReasoningModel_ACTV1', L_cycles: 8, expansion: 2.5, loss: {loss_type: softmax_cross_entropy}, pos_encodings: learned}"))
	want := v1alpha1.ModelSpec{Architecture: v1alpha1.ArchitectureHRM, LCycles: 8, Loss: v1alpha1.LossSoftmax, PositionEncoding: v1alpha1.PositionEncodingLearned}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestParseConfig_readsTheOtherArchitectures(t *testing.T) {
	for text, want := range map[string]v1alpha1.ModelSpec{
		`name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1, H_cycles: 3, L_cycles: 6, H_layers: 0, L_layers: 2, mlp_t: true, puzzle_emb_len: 16, pos_encodings: none`: {
			Architecture: v1alpha1.ArchitectureTRM, Layers: 2, HCycles: 3, LCycles: 6, Mixing: v1alpha1.MixingMLP, PuzzleEmbeddingPositions: 16,
			PositionEncoding: v1alpha1.PositionEncodingNone,
		},
		`name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1, no_ACT_continue: false, puzzle_emb_len: 0, puzzle_emb_ndim: 20, hidden_size: 8`: {
			Architecture: v1alpha1.ArchitectureTRM, HiddenSize: 8, PuzzleEmbeddingPositions: 3, PuzzleEmbeddingSize: new(int32(20)),
			ACT: v1alpha1.ACTSpec{Halting: v1alpha1.HaltingQLearning},
		},
		`name: recursive_reasoning.transformers_baseline@Model_ACTV2, H_cycles: 1, H_layers: 8`: {
			Architecture: v1alpha1.ArchitectureTransformer, Layers: 8, ACT: v1alpha1.ACTSpec{Halting: v1alpha1.HaltingQDifference},
		},
	} {
		got, err := ParseConfig([]byte("arch: {" + text + "}"))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", text, err, diff)
		}
	}
}

func TestParseConfig_refusesWhatIsComputedInAnotherWay(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"another architecture":   {"hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1", "recursive_reasoning.trm_singlez@TinyRecursiveReasoningModel_ACTV9", "arch.name"},
		"another loss":           {"stablemax_cross_entropy", "focal", "loss_type"},
		"other positions":        {"rope", "alibi", "pos_encodings"},
		"another epsilon":        {"num_heads", "rms_norm_eps: 0.001\n  num_heads", "rms_norm_eps is 0.001"},
		"another theta":          {"num_heads", "rope_theta: 500\n  num_heads", "rope_theta is 500"},
		"values not filled in":   {"puzzle_emb_ndim: 512", "puzzle_emb_ndim: ${.hidden_size}", "everything has its value"},
		"no YAML":                {"arch:", "arch: [", "everything has its value"},
		"a model of another job": {"arch:", "model:", "arch.name"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseConfig([]byte(strings.Replace(published, c.from, c.to, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(published))
	f.Add([]byte("arch: {name: '@HierarchicalReasoningModel_ACTV1', expansion: 1e300}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec, err := ParseConfig(raw)
		if err == nil && spec.Architecture != v1alpha1.ArchitectureHRM {
			t.Fatalf("got %+v", spec)
		}
	})
}
